"""Networks that are called many times: their arrays are found once, and few signals run on a tape."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
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
        >>> import jax.numpy as jnp
        >>> twice = Compiled(lambda factors, y: factors["a"] * y, {"a": jnp.array(2.0)})
        >>> twice(jnp.arange(3.0)).tolist()
        [0.0, 2.0, 4.0]
    """

    def __init__(self, function: Callable[[Any, Array], Array], held: Any) -> None:
        self._function, (self._leaves, self._structure) = function, jax.tree.flatten(held)
        self.by_xla: Player = functools.partial(_unflattened(function, self._structure), self._leaves)
        self._calls: dict[tuple[tuple[int, ...], Any, str], Player] = {}  # by shape, dtype and kernels

    def __call__(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        if isinstance(y, Tracer):
            return self.by_xla(y)
        key = (y.shape, y.dtype, kernels().path)
        call = self._calls.get(key)
        if call is None:
            call = self._calls[key] = self.player(y) or self.by_xla
        x = call(y)
        if isinstance(x, Tracer):  # a known signal while something else is traced: what is known stays known
            with jax.ensure_compile_time_eval():
                x = call(y)
        return x

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._function, jax.tree.unflatten(self._structure, self._leaves))

    def tape(self, y: Float[Array, "*batch m"]) -> Tape:
        """The tape for an input of this shape. Raises ``NoTape``, which says why, where there is none."""
        return record(jax.make_jaxpr(self.by_xla)(jax.ShapeDtypeStruct(y.shape, y.dtype)))

    def player(self, y: Float[Array, "*batch m"]) -> Player | None:
        """What runs inputs of this shape by a tape; None where they run by XLA."""
        play = BACKENDS[kernels().path].player
        if play is None or not y.ndim or not 0 < math.prod(y.shape[:-1]) <= MOST_SIGNALS:
            return None
        try:
            tape = self.tape(y)
        except NoTape:
            return None
        with jax.ensure_compile_time_eval():  # even while something else is traced
            return play(tape)


@functools.lru_cache(maxsize=64)  # objects of the same structure share what is compiled
def _unflattened(function: Callable[[Any, Array], Array], structure: Any) -> Callable[[list[Any], Array], Array]:
    return jax.jit(lambda leaves, y: function(jax.tree.unflatten(structure, leaves), y))
