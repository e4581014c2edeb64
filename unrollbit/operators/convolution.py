"""Convolutions of signals and images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Self

import jax
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.inverse import PeriodicInverse, RegularisedInverse
from unrollbit.operators.norms import Norm
from unrollbit.structures.base import Structure
from unrollbit.structures.grid import Boundary, Grid
from unrollbit.structures.shared import Shared
from unrollbit.values import is_known, pytree

_REACHES = 4  # of the kernel: inverse filters are longer than it


@pytree
@dataclass(frozen=True)
class Convolution(LinearOperator):
    """``y = kernel * x`` of the signal's own size: a blur of a signal ``(n,)`` or an image ``(height, width)``.

    ``y[i] = sum_t kernel[t] x[i + c - t]`` with the kernel centred at ``c = (size - 1) // 2`` on each axis (SciPy's
    ``mode="same"``). ``boundary`` says what the signal is outside: its periodic continuation (``circular``) or 0
    (``zero``). With a ``stride`` above 1 the blur is measured at every ``stride``-th place of each axis, the first at
    ``stride // 2``: ``n / stride`` samples (an image: of each axis), super-resolution's physics. Direct and
    matrix-free: the cost grows with the kernel's size.

    Raises ``ValueError`` unless the kernel has as many axes as the signal, whose sides ``stride`` must divide.

    Example:
        >>> import jax.numpy as jnp
        >>> blur = Convolution([0.25, 0.5, 0.25], 4)
        >>> blur(jnp.array([4.0, 0.0, 0.0, 0.0])), float(blur.norm())
        (Array([2., 1., 0., 1.], dtype=float32), 1.0)
    """

    kernel: Float[Array, "..."]
    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    boundary: Boundary = field(default="circular", metadata={"static": True})
    stride: int = field(default=1, metadata={"static": True})

    def __post_init__(self) -> None:
        grid = Grid(self.signal_shape, self.boundary, self.stride)
        kernel = finite_array("kernel", self.kernel, len(grid.signal_shape))
        if is_known(kernel) and not np.any(kernel):
            raise ValueError("kernel: all taps are zero, so nothing is measured")
        set_field(self, "kernel", kernel)
        set_field(self, "signal_shape", grid.signal_shape)
        set_field(self, "stride", grid.stride)

    @property
    def grid(self) -> Grid:
        """Where the convolution takes place."""
        return Grid(self.signal_shape, self.boundary, self.stride)

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid.shape

    @property
    def measured_shape(self) -> tuple[int, ...]:
        return tuple(side // self.stride for side in self.signal_shape)

    @property
    def margin(self) -> tuple[int, ...] | None:
        return tuple(_REACHES * side for side in self.kernel.shape) if self.boundary == "circular" else None

    def resized(self, signal_shape: tuple[int, ...]) -> Self:
        return replace(self, signal_shape=signal_shape)

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.grid.apply(self.kernel, x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self.grid.apply_transpose(self.kernel, y)

    def core(self, structure: Structure) -> Array:
        taps = structure.of_kernel(self.kernel, self.grid)
        return super().core(structure) if taps is None else taps

    def shared_taps(self, wider: int = 0) -> Shared:
        """The taps as weights, and ``wider`` more on each side of each axis: inverse filters are longer."""
        kernel = tuple(taps + 2 * wider for taps in self.kernel.shape)
        return Shared(self.signal_shape, kernel, self.boundary, self.stride)

    def norm(self) -> Norm:
        """Exact: the largest ``|DFT of the kernel|`` if circular, over aliases that a stride adds up; else by SVD."""
        if self.boundary != "circular":
            return super().norm()
        period = np.zeros(self.signal_shape)
        wrapped = np.ix_(*(np.arange(k) % n for k, n in zip(self.kernel.shape, self.signal_shape, strict=True)))
        np.add.at(period, wrapped, np.asarray(self.kernel, np.float64))
        power = np.abs(np.fft.fftn(period)) ** 2
        for axis, side in enumerate(self.signal_shape):  # A A^T averages the power of frequencies that alias
            kept = side // self.stride
            power = power.reshape(*power.shape[:axis], self.stride, kept, *power.shape[axis + 1 :]).mean(axis)
        return Norm(math.sqrt(power.max()), exact=True)

    def inverse(self) -> RegularisedInverse:
        """By Fourier transforms if periodic and measured at every place."""
        if self.boundary != "circular" or self.stride != 1:
            return super().inverse()
        return self.derived("inverse", lambda: PeriodicInverse.of(self.kernel, self.signal_shape))

    @jax.jit
    def column_norms(self) -> Array:
        return self.grid.column_norms(self.kernel)

    def mask(self) -> Structure:
        """A ``Band`` for signals, a ``Stencil`` for images."""
        return self.grid.mask(self.kernel.shape)
