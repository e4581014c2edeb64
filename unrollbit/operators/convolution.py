"""Convolutions of signals and images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from unrollbit.operators.band import Band
from unrollbit.operators.base import LinearOperator, Norm, Spec, check_signal_shape, finite_array, transpose_of
from unrollbit.operators.stencil import Stencil
from unrollbit.operators.structure import Structure, positive_integer

Boundary = Literal["circular", "zero"]


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
        sides = check_signal_shape(signal_shape)
        if boundary not in ("circular", "zero"):
            raise ValueError(f"boundary: expected 'circular' or 'zero', got {boundary!r}")
        stride = positive_integer("stride", stride)
        if any(side % stride for side in sides):
            raise ValueError(f"stride: {stride} does not divide the sides of {sides}; crop or pad the signal")
        return cls(finite_array("kernel", kernel, len(sides)), sides, boundary, stride)

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.signal_shape)
        return n // self.stride ** len(self.signal_shape), n

    @property
    def _first(self) -> int:
        """The first measured place of each axis."""
        return self.stride // 2

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        dtype = jnp.result_type(x, self.kernel)
        image = x.astype(dtype).reshape(-1, *self.signal_shape)
        pads = [(0, 0), *((size // 2, (size - 1) // 2) for size in self.kernel.shape)]
        image = jnp.pad(image, pads, mode="wrap" if self.boundary == "circular" else "constant")
        flipped = jnp.flip(self.kernel).astype(dtype)
        strides = (self.stride,) * self.kernel.ndim
        image = image[(slice(None), *(slice(self._first, None) for _ in self.signal_shape))]
        exact = lax.Precision.HIGHEST
        out = lax.conv_general_dilated(image[:, None], flipped[None, None], strides, "VALID", precision=exact)
        return out.reshape(*x.shape[:-1], self.shape[0])

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._apply, self.shape[1], y, self.kernel.dtype)

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

    def bands(self) -> list[Band]:
        """The structural non-zeros of each axis."""
        bands = []
        for side, size in zip(self.signal_shape, self.kernel.shape, strict=True):
            reach = self._first - size // 2, self._first + (size - 1) // 2
            bands.append(Band(side // self.stride, side, *reach, self.stride, self.boundary == "circular"))
        return bands

    def mask(self) -> Structure:
        """A ``Band`` for signals, a ``Stencil`` for images."""
        bands = self.bands()
        return bands[0] if len(bands) == 1 else Stencil(*bands)

    def to_spec(self) -> Spec:
        fields = {"signal_shape": list(self.signal_shape), "boundary": self.boundary, "stride": self.stride}
        return {"kind": "Convolution", "kernel": np.asarray(self.kernel), **fields}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(spec["kernel"], spec["signal_shape"], spec["boundary"], spec.get("stride", 1))
