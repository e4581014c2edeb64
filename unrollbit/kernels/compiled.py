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

from unrollbit.kernels.backend import Player
from unrollbit.kernels.backends import BACKENDS, kernels
from unrollbit.kernels.programs import NoTape
from unrollbit.kernels.recorder import record
from unrollbit.kernels.tape import Tape

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
        self._players: dict[tuple[tuple[int, ...], str], Player | None] = {}

    def __call__(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        player = None if isinstance(y, Tracer) else self.player(y)
        return self.by_xla(y) if player is None else player(y)

    def by_xla(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The function by XLA, with a tape or without."""
        return self._by_xla(self._leaves, y)

    def tape(self, y: Float[Array, "*batch m"]) -> Tape | NoTape:
        """The tape for an input of this shape, or the reason why there is none."""
        return record(jax.make_jaxpr(self.by_xla)(jax.ShapeDtypeStruct(y.shape, y.dtype)))

    def player(self, y: Float[Array, "*batch m"]) -> Player | None:
        """What runs inputs of this shape by a tape, made once; None where they run by XLA."""
        if y.dtype != jnp.float32 or not y.ndim or not 0 < math.prod(y.shape[:-1]) <= MOST_SIGNALS:
            return None
        key = (y.shape, kernels().path)
        if key not in self._players:
            play = BACKENDS[key[1]].player
            tape = NoTape("the kernels that run here have no tapes") if play is None else self.tape(y)
            with jax.ensure_compile_time_eval():  # even while something else is traced
                self._players[key] = None if play is None or isinstance(tape, NoTape) else play(tape)
        return self._players[key]


@functools.lru_cache(maxsize=64)  # objects of the same structure share what is compiled
def _unflattened(function: Callable[[Any, Array], Array], structure: Any) -> Callable[[list[Any], Array], Array]:
    return jax.jit(lambda leaves, y: function(jax.tree.unflatten(structure, leaves), y))
