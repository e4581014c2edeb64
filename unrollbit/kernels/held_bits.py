"""Parts of the arrays of bytes that a network holds, found without copying them."""

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


class Bits(NamedTuple):
    """Part of an array of bytes, from byte ``start`` on: layers share the array that the network holds."""

    whole: Array
    start: int
    shape: tuple[int, ...]

    def array(self) -> np.ndarray:
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
            starts = params["start_indices"]
        elif name == "dynamic_slice":
            starts = [min(max(int(s), 0), n - k) for s, n, k in zip(starts, self.shape, shape, strict=True)]
        else:
            return None
        axis = next((axis for axis, kept in enumerate(shape) if kept > 1), len(shape))
        if shape[axis + 1 :] != self.shape[axis + 1 :]:
            return None
        strides = [math.prod(self.shape[axis + 1 :]) for axis in range(len(shape))]
        skipped = sum(s * stride for s, stride in zip(starts, strides, strict=True))
        return Bits(self.whole, self.start + skipped, shape)


def held(value: Any) -> Any:
    """A known array as it is; bytes as ``Bits``."""
    if not isinstance(value, Bits) and getattr(value, "dtype", None) == jnp.uint8 and np.ndim(value):
        return Bits(value, 0, value.shape)
    return value
