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
from unrollbit.operators.structure import Structure

Boundary = Literal["circular", "zero"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Convolution(LinearOperator):
    """``y = kernel * x`` of the signal's own size: a blur of a signal ``(n,)`` or an image ``(height, width)``.

    ``y[i] = sum_t kernel[t] x[i + c - t]`` with the kernel centred at ``c = (size - 1) // 2`` on each axis (SciPy's
    ``mode="same"``). ``boundary`` says what the signal is outside: its periodic continuation (``circular``) or 0
    (``zero``). Direct and matrix-free: the cost grows with the kernel's size. ``Convolution.of`` checks arguments.

    Example:
        >>> import jax.numpy as jnp
        >>> blur = Convolution.of([0.25, 0.5, 0.25], 4)
        >>> blur(jnp.array([4.0, 0.0, 0.0, 0.0])), float(blur.norm())
        (Array([2., 1., 0., 1.], dtype=float32), 1.0)
    """

    kernel: Float[Array, "..."]
    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    boundary: Boundary = field(default="circular", metadata={"static": True})

    @classmethod
    def of(cls, kernel: Any, signal_shape: int | tuple[int, ...], boundary: Boundary = "circular") -> Convolution:
        """Check the arguments. Raises ``ValueError`` unless the kernel has as many axes as the signal."""
        sides = check_signal_shape(signal_shape)
        if boundary not in ("circular", "zero"):
            raise ValueError(f"boundary: expected 'circular' or 'zero', got {boundary!r}")
        return cls(finite_array("kernel", kernel, len(sides)), sides, boundary)

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.signal_shape)
        return n, n

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        dtype = jnp.result_type(x, self.kernel)
        image = x.astype(dtype).reshape(-1, *self.signal_shape)
        pads = [(0, 0), *((size // 2, (size - 1) // 2) for size in self.kernel.shape)]
        image = jnp.pad(image, pads, mode="wrap" if self.boundary == "circular" else "constant")
        flipped = jnp.flip(self.kernel).astype(dtype)
        strides = (1,) * self.kernel.ndim
        exact = lax.Precision.HIGHEST
        out = lax.conv_general_dilated(image[:, None], flipped[None, None], strides, "VALID", precision=exact)
        return out.reshape(x.shape)

    def _apply_adjoint(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._apply, self.shape[1], y, self.kernel.dtype)

    def norm(self) -> Norm:
        """Exact: the largest ``|DFT of the kernel|`` if circular, by SVD otherwise."""
        if self.boundary != "circular":
            return super().norm()
        period = np.zeros(self.signal_shape)
        wrapped = np.ix_(*(np.arange(k) % n for k, n in zip(self.kernel.shape, self.signal_shape, strict=True)))
        np.add.at(period, wrapped, np.asarray(self.kernel, np.float64))
        return Norm(np.abs(np.fft.fftn(period)).max(), exact=True)

    def mask(self) -> Structure:
        """A ``Band`` for signals, a ``Stencil`` for images."""
        circular = self.boundary == "circular"
        before, after = [-(size // 2) for size in self.kernel.shape], [(size - 1) // 2 for size in self.kernel.shape]
        if len(self.signal_shape) == 1:
            return Band(*self.shape, before[0], after[0], 1, circular)
        height, width = self.signal_shape
        return Stencil(height, width, before[0], after[0], before[1], after[1], circular)

    def to_spec(self) -> Spec:
        fields = {"signal_shape": list(self.signal_shape), "boundary": self.boundary}
        return {"kind": "Convolution", "kernel": np.asarray(self.kernel), **fields}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(spec["kernel"], spec["signal_shape"], spec["boundary"])
