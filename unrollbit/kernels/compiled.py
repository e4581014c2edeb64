"""Networks that are called many times: their arrays are found once, and few signals run on a tape."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float

from unrollbit.kernels.native import kernels
from unrollbit.kernels.recorder import record
from unrollbit.kernels.tape import Tape, play

MOST_SIGNALS = 16  # of a call by tape; with more, an operation costs more than its start, and XLA merges operations


class Compiled:
    """``function(held, y)`` for one pytree ``held``, compiled for each shape of ``y``.

    ``jax.jit`` flattens its arguments at every call, which takes longer than a small network does: here ``held`` is
    flattened once, when the object is made. What is written into ``held`` later is not seen.

    A call with at most 16 float32 signals runs on a tape (``unrollbit.kernels.tape``) where there is one; others,
    and calls inside of JAX's transformations, run by XLA.

    Example:
        >>> twice = Compiled(lambda factors, y: factors["a"] * y, {"a": jnp.array(2.0)})
        >>> twice(jnp.arange(3.0)).tolist()
        [0.0, 2.0, 4.0]
    """

    def __init__(self, function: Callable[[Any, Array], Array], held: Any) -> None:
        self._leaves, structure = jax.tree.flatten(held)
        self._by_xla = _unflattened(function, structure)
        self._tapes: dict[tuple[tuple[int, ...], str], Tape | None] = {}

    def __call__(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        tape = self.tape(y)
        return self.by_xla(y) if tape is None else play(tape, y)

    def by_xla(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The function by XLA, with a tape or without."""
        return self._by_xla(self._leaves, y)

    def tape(self, y: Float[Array, "*batch m"]) -> Tape | None:
        """The tape for an input of this shape, recorded once; None where there is none."""
        few = y.ndim and y.size and math.prod(y.shape[:-1]) <= MOST_SIGNALS
        if not few or isinstance(y, Tracer) or y.dtype != jnp.float32:
            return None
        key = (y.shape, kernels().path)
        if key not in self._tapes:
            self._tapes[key] = record(self.by_xla, y.shape)
        return self._tapes[key]


@functools.lru_cache(maxsize=64)  # objects of the same structure share what is compiled
def _unflattened(function: Callable[[Any, Array], Array], structure: Any) -> Callable[[list[Any], Array], Array]:
    return jax.jit(lambda leaves, y: function(jax.tree.unflatten(structure, leaves), y))
