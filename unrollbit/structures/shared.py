"""Shared weights: the taps of a convolution, each of which is many entries of its matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.sizes import positive_integer
from unrollbit.structures.base import Structure
from unrollbit.structures.grid import Boundary, Grid


@dataclass(frozen=True)
class Shared(Structure):
    """The matrix of a convolution (``Convolution``: periodic or zero boundary, any stride): its core is the kernel.

    A one-bit kernel is a one-bit Toeplitz matrix: ``size`` taps are stored, ``links`` entries multiply. ``gather``
    averages the entries that share a tap, the nearest kernel in the Frobenius norm.

    Example:
        >>> shared = Shared((8, 8), (2, 2))
        >>> shared.size, shared.links, shared.shape
        (4, 256, (64, 64))
    """

    signal_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    boundary: Boundary = "circular"
    stride: int = 1
    shared: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for what, sides in (("signal_shape", self.signal_shape), ("kernel_shape", self.kernel_shape)):
            if not isinstance(sides, tuple) or len(sides) not in (1, 2):
                raise ValueError(f"Shared: expected {what} of one or two sides, got {sides!r}")
        # one tap says what is wrong with the grid: a file's sizes must not allocate anything
        if len(self.grid.signal_shape) != len(self.kernel_shape):
            raise ValueError(f"Shared: expected a kernel of {len(self.signal_shape)} axes, got {self.kernel_shape!r}")
        for taps in self.kernel_shape:
            positive_integer("kernel_shape", taps)
        if any(taps > side for taps, side in zip(self.kernel_shape, self.signal_shape, strict=True)):
            raise ValueError(f"Shared: a kernel of {self.kernel_shape} does not fit into {self.signal_shape}")

    @property
    def grid(self) -> Grid:
        """Where the convolution takes place."""
        return Grid(self.signal_shape, self.boundary, self.stride)

    def of_kernel(self, kernel: Array, grid: Grid) -> Array:
        """The kernel of a convolution, padded to the taps here.

        Raises ``ValueError`` for another grid or a kernel that does not fit.
        """
        pads = []
        for taps, own in zip(self.kernel_shape, kernel.shape, strict=True):
            before = (taps - 1) // 2 - (own - 1) // 2
            pads.append((before, taps - own - before))
        if grid != self.grid or min(min(pad) for pad in pads) < 0:
            raise ValueError(f"Shared: {kernel.shape} taps on {grid} are not those of {self}")
        return jnp.pad(kernel, pads)

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid.shape

    @property
    def size(self) -> int:
        """Number of taps."""
        return math.prod(self.kernel_shape)

    @property
    def links(self) -> int:
        return math.prod(band.size for band in self.grid.bands(self.kernel_shape))

    @property
    def core_shape(self) -> tuple[int, ...]:
        return self.kernel_shape

    def gather(self, dense: Array) -> Array:
        lead = dense.shape[:-2]
        taps = jnp.zeros(self.kernel_shape, dense.dtype)
        sums = jax.linear_transpose(self.grid.dense, taps)
        count = sums(jnp.ones(self.shape, dense.dtype))[0]
        cores = jax.vmap(lambda matrix: sums(matrix)[0])(dense.reshape(-1, *self.shape))
        return (cores / jnp.maximum(count, 1)).reshape(*lead, *self.kernel_shape)

    def _each(self, core: Array, function: Any) -> Array:
        """A function of single cores, over their leading axes."""
        lead = core.shape[: core.ndim - len(self.kernel_shape)]
        out = jax.vmap(function)(core.reshape(-1, *self.kernel_shape))
        return out.reshape(*lead, *out.shape[1:])

    def scatter(self, core: Array) -> Array:
        return self._each(core, self.grid.dense)

    def matvec(self, core: Array, x: Array) -> Array:
        return self.grid.apply(core, x)

    def rmatvec(self, core: Array, r: Array) -> Array:
        return self.grid.apply_transpose(core, r)

    def rows(self, v: Array) -> Array:
        raise ValueError("shared taps have no rows of their own; take a global or layer scale")

    def columns(self, v: Array) -> Array:
        raise ValueError("shared taps have no columns of their own; take a global or layer scale")

    def row_sum(self, core: Array) -> Array:
        return self._each(core, lambda own: self.grid.apply(own, jnp.ones(self.shape[1], own.dtype)))

    def column_sum(self, core: Array) -> Array:
        return self._each(core, lambda own: self.grid.apply_transpose(own, jnp.ones(self.shape[0], own.dtype)))

    def column_norms(self, core: Array) -> Array:
        return self._each(core, self.grid.column_norms)

    @property
    def T(self) -> Structure:
        """The band or stencil of the transpose, whose entries are not shared."""
        return self.grid.mask(self.kernel_shape).T

    def gram(self) -> Structure:
        return self.grid.mask(self.kernel_shape).gram()

    def dense_mask(self) -> Array:
        return self.grid.mask(self.kernel_shape).dense_mask()
