"""Convolutions of signals and images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Norm, Spec, finite_array
from unrollbit.structures.base import Structure
from unrollbit.structures.grid import Boundary, Grid
from unrollbit.structures.shared import Shared


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Convolution(LinearOperator):
    """``y = kernel * x`` of the signal's own size: a blur of a signal ``(n,)`` or an image ``(height, width)``.

    ``y[i] = sum_t kernel[t] x[i + c - t]`` with the kernel centred at ``c = (size - 1) // 2`` on each axis (SciPy's
    ``mode="same"``). ``boundary`` says what the signal is outside: its periodic continuation (``circular``) or 0
    (``zero``). With a ``stride`` above 1 the blur is measured at every ``stride``-th place of each axis, the first at
    ``stride // 2``: ``n / stride`` samples (an image: of each axis), super-resolution's physics. Direct and
    matrix-free: the cost grows with the kernel's size. ``Convolution.of`` checks arguments.

    Example:
        >>> import jax.numpy as jnp
        >>> blur = Convolution.of([0.25, 0.5, 0.25], 4)
        >>> blur(jnp.array([4.0, 0.0, 0.0, 0.0])), float(blur.norm())
        (Array([2., 1., 0., 1.], dtype=float32), 1.0)
    """

    kernel: Float[Array, "..."]
    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    boundary: Boundary = field(default="circular", metadata={"static": True})
    stride: int = field(default=1, metadata={"static": True})

    @classmethod
    def of(
        cls, kernel: Any, signal_shape: int | tuple[int, ...], boundary: Boundary = "circular", stride: int = 1
    ) -> Convolution:
        """Check the arguments. Raises ``ValueError`` unless the kernel has as many axes as the signal, whose sides
        ``stride`` must divide.
        """
        grid = Grid(signal_shape, boundary, stride)  # pyright: ignore[reportArgumentType]  (it checks)
        kernel = finite_array("kernel", kernel, len(grid.signal_shape))
        return cls(kernel, grid.signal_shape, grid.boundary, grid.stride)

    @property
    def grid(self) -> Grid:
        """Where the convolution takes place."""
        return Grid(self.signal_shape, self.boundary, self.stride)

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid.shape

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.grid.apply(self.kernel, x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self.grid.apply_transpose(self.kernel, y)

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

    def column_rms(self) -> Array | float:
        """``||kernel|| sqrt(m / n)`` if circular: every row of A is the kernel."""
        if self.boundary != "circular" or any(
            k > side for k, side in zip(self.kernel.shape, self.signal_shape, strict=True)
        ):
            return super().column_rms()
        m, n = self.shape
        return jnp.sqrt(jnp.sum(self.kernel**2) * m / n)

    def mask(self) -> Structure:
        """A ``Band`` for signals, a ``Stencil`` for images."""
        return self.grid.mask(self.kernel.shape)

    def to_spec(self) -> Spec:
        fields = {"signal_shape": list(self.signal_shape), "boundary": self.boundary, "stride": self.stride}
        return {"kind": "Convolution", "kernel": np.asarray(self.kernel), **fields}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(spec["kernel"], spec["signal_shape"], spec["boundary"], spec.get("stride", 1))
