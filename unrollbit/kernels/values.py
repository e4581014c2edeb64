"""What a variable of a program stands for while a tape is recorded: all answer the same questions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

RENAMED = (
    "reshape",
    "squeeze",
    "expand_dims",
    "copy",
    "copy_p",
    "stop_gradient",
    "optimization_barrier",
)  # the same entries


class Value(NamedTuple):
    """An array that depends on the measurements; ``count`` 1: one number, broadcast to ``shape``."""

    number: int
    count: int
    shape: tuple[int, ...]
    varies = True

    def part(self, name: str, starts: Sequence[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Value | None:
        """What a primitive of JAX makes of it, if that has the same entries in the same order; else None."""
        return self._replace(shape=shape) if name in RENAMED else None


class Known(NamedTuple):
    """An array that does not."""

    entries: Any
    varies = False

    def array(self) -> Any:
        """All of it."""
        return self.entries

    def row(self, k: int) -> Known:
        """Entry k of the leading axis."""
        return Known(self.entries[k])

    def part(self, name: str, starts: Sequence[Any], params: dict[str, Any], shape: tuple[int, ...]) -> None:
        """None: it is computed."""


class Bits(NamedTuple):
    """Part of an array of bytes, from byte ``start`` on: layers share the array that the network holds."""

    whole: Array
    start: int
    shape: tuple[int, ...]
    varies = False

    def array(self) -> np.ndarray:
        """A copy."""
        size = math.prod(self.shape)
        return np.asarray(self.whole).reshape(-1)[self.start : self.start + size].reshape(self.shape)

    def row(self, k: int) -> Bits:
        """Entry k of the leading axis."""
        return Bits(self.whole, self.start + k * math.prod(self.shape[1:]), self.shape[1:])

    def part(self, name: str, starts: Sequence[Any], params: dict[str, Any], shape: tuple[int, ...]) -> Bits | None:
        """What a primitive of JAX makes of it, if that is a contiguous part or all in another shape; else None.

        ``starts``: the indices of a dynamic slice.
        """
        if name in RENAMED or (name == "broadcast_in_dim" and math.prod(shape) == math.prod(self.shape)):
            return self._replace(shape=shape)
        if name == "slice" and params["strides"] is None:
            first = params["start_indices"]
        elif name == "dynamic_slice" and not any(start.varies for start in starts):
            indices = [int(start.array()) for start in starts]
            first = [min(max(s, 0), n - k) for s, n, k in zip(indices, self.shape, shape, strict=True)]
        else:
            return None
        axis = next((axis for axis, kept in enumerate(shape) if kept > 1), len(shape))
        if shape[axis + 1 :] != self.shape[axis + 1 :]:
            return None
        strides = [math.prod(self.shape[axis + 1 :]) for axis in range(len(shape))]
        skipped = sum(s * stride for s, stride in zip(first, strides, strict=True))
        return Bits(self.whole, self.start + skipped, shape)


Operand = Value | Known | Bits


def known(array: Any) -> Known | Bits:
    """A known array; bytes are found, not copied."""
    if getattr(array, "dtype", None) == jnp.uint8 and np.ndim(array):
        return Bits(array, 0, array.shape)
    return Known(array)
