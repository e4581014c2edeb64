"""Convolutions of signals and images on their grid: what kernels and shared taps have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from unrollbit.arrays import binary_unit
from unrollbit.sizes import check_signal_shape, positive_integer
from unrollbit.structures.band import Band
from unrollbit.structures.base import Structure
from unrollbit.structures.stencil import Stencil

Boundary = Literal["circular", "zero"]


@dataclass(frozen=True)
class Grid:
    """Where a convolution takes place: a signal ``(n,)`` or an image ``(height, width)``, its boundary and a stride.

    With a ``stride`` above 1 every ``stride``-th place of each axis is measured, the first at ``stride // 2``.
    Raises ``ValueError`` for sides that are no sizes, an unknown boundary, or a stride that does not divide the sides.
    """

    signal_shape: tuple[int, ...]
    boundary: Boundary = "circular"
    stride: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "signal_shape", check_signal_shape(self.signal_shape))
        if self.boundary not in ("circular", "zero"):
            raise ValueError(f"boundary: expected 'circular' or 'zero', got {self.boundary!r}")
        object.__setattr__(self, "stride", positive_integer("stride", self.stride))
        if any(side % self.stride for side in self.signal_shape):
            sides = self.signal_shape
            raise ValueError(f"stride: {self.stride} does not divide the sides of {sides}; crop or pad the signal")

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)`` of a convolution's matrix."""
        n = math.prod(self.signal_shape)
        return n // self.stride ** len(self.signal_shape), n

    @property
    def _first(self) -> int:
        """The first measured place of each axis."""
        return self.stride // 2

    def apply(self, kernel: Float[Array, "..."], x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``y[i] = sum_t kernel[t] x[i + c - t]`` at the measured places, ``c = (size - 1) // 2`` on each axis."""
        dtype = jnp.result_type(x, kernel)
        image = x.astype(dtype).reshape(-1, *self.signal_shape)
        pads = [(0, 0), *((size // 2, (size - 1) // 2) for size in kernel.shape)]
        image = jnp.pad(image, pads, mode="wrap" if self.boundary == "circular" else "constant")
        flipped = jnp.flip(kernel).astype(dtype)
        strides = (self.stride,) * kernel.ndim
        image = image[(slice(None), *(slice(self._first, None) for _ in self.signal_shape))]
        exact = lax.Precision.HIGHEST
        out = lax.conv_general_dilated(image[:, None], flipped[None, None], strides, "VALID", precision=exact)
        return out.reshape(*x.shape[:-1], self.shape[0])

    def apply_transpose(self, kernel: Float[Array, "..."], y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The transpose of ``apply``."""
        dtype = jnp.result_type(y, kernel)
        primal = jax.ShapeDtypeStruct((*y.shape[:-1], self.shape[1]), dtype)
        return jax.linear_transpose(lambda x: self.apply(kernel, x), primal)(y.astype(dtype))[0]

    def dense(self, kernel: Float[Array, "..."]) -> Float[Array, "m n"]:
        """The matrix."""
        return self.apply(kernel, jnp.eye(self.shape[1], dtype=kernel.dtype)).T

    def column_norms(self, kernel: Float[Array, "..."]) -> Float[Array, " n"]:
        """The norm of every column, without the matrix: the transposed convolution of the squared kernel, of ones."""
        if self.boundary == "circular":
            kernel = self._wrapped(kernel)
        unit = binary_unit(kernel, tuple(range(kernel.ndim)))
        ones = jnp.ones(self.shape[0], kernel.dtype)
        return unit.reshape(()) * jnp.sqrt(self.apply_transpose(jnp.square(kernel / unit), ones))

    def _wrapped(self, kernel: Array) -> Array:
        """A kernel no longer than the period, with the taps added up that meet the same entries."""
        for axis, (side, size) in enumerate(zip(self.signal_shape, kernel.shape, strict=True)):
            if size > side:
                place = (np.arange(size) - (size - 1) // 2 + (side - 1) // 2) % side
                shape = (*kernel.shape[:axis], side, *kernel.shape[axis + 1 :])
                kernel = jnp.zeros(shape, kernel.dtype).at[(slice(None),) * axis + (place,)].add(kernel)
        return kernel

    def bands(self, kernel_shape: tuple[int, ...]) -> list[Band]:
        """The structural non-zeros of each axis."""
        bands = []
        for side, size in zip(self.signal_shape, kernel_shape, strict=True):
            reach = self._first - size // 2, self._first + (size - 1) // 2
            bands.append(Band(side // self.stride, side, *reach, self.stride, self.boundary == "circular"))
        return bands

    def mask(self, kernel_shape: tuple[int, ...]) -> Structure:
        """The structural non-zeros: a ``Band`` for signals, a ``Stencil`` for images."""
        bands = self.bands(kernel_shape)
        return bands[0] if len(bands) == 1 else Stencil(*bands)
