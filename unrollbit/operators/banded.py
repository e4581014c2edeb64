"""Matrices that are constant along their diagonals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from unrollbit.arrays import binary_unit
from unrollbit.operators.base import LinearOperator, transpose_of
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.norms import Norm
from unrollbit.sizes import LARGEST_SIDE, positive_integer
from unrollbit.structures.band import Band
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Banded(LinearOperator):
    """A Toeplitz band: ``y_i = sum_k taps[k] x[stride * i + lower + k]``, matrix-free.

    Tap ``k`` fills diagonal ``lower + k``. Outside ``0..n-1`` the signal is zero, or periodic if ``circular``. A stride
    above 1 keeps every ``stride``-th measurement. ``Toeplitz`` is the same class; ``Banded.toeplitz`` takes the first
    column and row of a full Toeplitz matrix.

    Raises ``ValueError`` for taps, sizes or offsets that make no band.

    Example:
        >>> import jax.numpy as jnp
        >>> difference = Banded.of([-1.0, 1.0], shape=(3, 4))
        >>> difference(jnp.array([1.0, 2.0, 4.0, 8.0]))
        Array([1., 2., 4.], dtype=float32)
    """

    taps: Float[Array, " taps"]
    m: int = field(metadata={"static": True})
    n: int = field(metadata={"static": True})
    lower: int = field(default=0, metadata={"static": True})
    stride: int = field(default=1, metadata={"static": True})
    circular: bool = field(default=False, metadata={"static": True})

    def __post_init__(self) -> None:
        set_field(self, "taps", finite_array("taps", self.taps, 1))
        for name in ("m", "n", "stride"):
            set_field(self, name, positive_integer(name, getattr(self, name)))
        if isinstance(self.lower, bool) or not isinstance(self.lower, int | np.integer):
            raise ValueError(f"lower: expected an integer (the diagonal of the first tap), got {self.lower!r}")
        set_field(self, "lower", int(self.lower))
        if not isinstance(self.circular, bool):
            raise ValueError(f"circular: expected True or False, got {self.circular!r}")
        span = (self.m - 1) * self.stride + self.taps.size
        positive_integer("Banded: places that the rows span", span, 2 * LARGEST_SIDE)
        farthest = (-2 * LARGEST_SIDE, 2 * LARGEST_SIDE) if self.circular else (-span - self.n, span + self.n)
        if not farthest[0] < self.lower < farthest[1]:
            raise ValueError(f"lower: expected a diagonal in {farthest}, exclusive; got {self.lower}")

    @classmethod
    def of(cls, taps: Any, shape: tuple[int, int], lower: int = 0, stride: int = 1, circular: bool = False) -> Banded:
        """With the shape as a pair. Raises ``ValueError`` for taps, sizes or offsets that make no band."""
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise ValueError(f"shape: expected (m, n), got {shape!r}")
        return cls(taps, *shape, lower, stride, circular)

    @classmethod
    def toeplitz(cls, column: Any, row: Any) -> Banded:
        """The ``(len(column), len(row))`` Toeplitz matrix with this first column and first row (as in SciPy).

        Raises ``ValueError`` if their first entries, which are the same entry of the matrix, differ.
        """
        below, right = np.asarray(finite_array("column", column, 1)), np.asarray(finite_array("row", row, 1))
        if below[0] != right[0]:
            raise ValueError(f"toeplitz: expected column[0] == row[0], got {below[0]} and {right[0]}")
        return cls.of(np.concatenate([below[:0:-1], right]), (len(below), len(right)), 1 - len(below))

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        dtype = jnp.result_type(x, self.taps)
        return strided_correlate(
            x.astype(dtype), self.taps.astype(dtype)[None], self.m, self.lower, self.stride, self.circular
        )[..., 0, :]

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._apply, self.n, y, self.taps.dtype)

    def norm(self) -> Norm:
        """Exact: the largest ``|DFT of the taps|`` of a square circulant matrix, by SVD otherwise."""
        if not (self.circular and self.stride == 1 and self.m == self.n):
            return super().norm()
        period = np.zeros(self.n)
        np.add.at(period, np.arange(self.taps.size) % self.n, np.asarray(self.taps, np.float64))
        return Norm(np.abs(np.fft.fft(period)).max(), exact=True)

    @jax.jit
    def column_norms(self) -> Array:
        """The transposed band of squared taps, of ones; taps that a period wraps onto one entry are added up first."""
        taps, lower = self.taps, self.lower
        if self.circular and taps.size > self.n:
            taps, lower = jnp.zeros(self.n, taps.dtype).at[(lower + np.arange(taps.size)) % self.n].add(taps), 0
        unit = binary_unit(taps)

        def squared(x: Array) -> Array:
            square = jnp.square(taps / unit)[None]
            return strided_correlate(x, square, self.m, lower, self.stride, self.circular)[..., 0, :]

        return unit * jnp.sqrt(transpose_of(squared, self.n, jnp.ones(self.m, taps.dtype)))

    def mask(self) -> Band:
        return Band(self.m, self.n, self.lower, self.lower + self.taps.size - 1, self.stride, self.circular)


Toeplitz = Banded


def strided_correlate(
    x: Float[Array, "*batch n"], taps: Float[Array, "filters taps"], m: int, lower: int, stride: int, circular: bool
) -> Float[Array, "*batch filters m"]:
    """``sum_k taps[f, k] x[stride * i + lower + k]`` for ``i < m``, with ``x`` zero or periodic outside ``0..n-1``."""
    n, span = x.shape[-1], (m - 1) * stride + taps.shape[-1]
    flat = x.reshape(-1, 1, n)
    if circular:
        window = flat[..., (lower + np.arange(span)) % n]
    else:
        window = lax.pad(flat, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 0, 0), (-lower, lower + span - n, 0)))
    exact = lax.Precision.HIGHEST
    out = lax.conv_general_dilated(window, taps[:, None], (stride,), "VALID", precision=exact)
    return out.reshape(*x.shape[:-1], taps.shape[0], m)
