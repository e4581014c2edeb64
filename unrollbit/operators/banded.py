"""Matrices that are constant along their diagonals."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Norm, Spec, finite_array, transpose_of
from unrollbit.sizes import LARGEST_SIDE, positive_integer
from unrollbit.structures.band import Band


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Banded(LinearOperator):
    """A Toeplitz band: ``y_i = sum_k taps[k] x[stride * i + lower + k]``, matrix-free.

    Tap ``k`` fills diagonal ``lower + k``. Outside ``0..n-1`` the signal is zero, or periodic if ``circular``. A stride
    above 1 keeps every ``stride``-th measurement. ``Toeplitz`` is the same class; ``Banded.toeplitz`` takes the first
    column and row of a full Toeplitz matrix. Use ``Banded.of`` to check arguments.

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

    @classmethod
    def of(cls, taps: Any, shape: tuple[int, int], lower: int = 0, stride: int = 1, circular: bool = False) -> Banded:
        """Check the arguments. Raises ``ValueError`` for taps, sizes or offsets that make no band."""
        if not isinstance(shape, tuple | list) or len(shape) != 2:
            raise ValueError(f"shape: expected (m, n), got {shape!r}")
        m, n = positive_integer("m", shape[0]), positive_integer("n", shape[1])
        if isinstance(lower, bool) or not isinstance(lower, int | np.integer):
            raise ValueError(f"lower: expected an integer (the diagonal of the first tap), got {lower!r}")
        if not isinstance(circular, bool):
            raise ValueError(f"circular: expected True or False, got {circular!r}")
        taps, stride = finite_array("taps", taps, 1), positive_integer("stride", stride)
        span = (m - 1) * stride + taps.size
        positive_integer("Banded: places that the rows span", span, 2 * LARGEST_SIDE)
        farthest = (-2 * LARGEST_SIDE, 2 * LARGEST_SIDE) if circular else (-span - n, span + n)
        if not farthest[0] < lower < farthest[1]:
            raise ValueError(f"lower: expected a diagonal in {farthest}, exclusive; got {lower}")
        return cls(taps, m, n, int(lower), stride, circular)

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

    def mask(self) -> Band:
        return Band(self.m, self.n, self.lower, self.lower + self.taps.size - 1, self.stride, self.circular)

    def to_spec(self) -> Spec:
        fields = {"m": self.m, "n": self.n, "lower": self.lower, "stride": self.stride, "circular": self.circular}
        return {"kind": "Banded", "taps": np.asarray(self.taps), **fields}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(spec["taps"], (spec["m"], spec["n"]), spec["lower"], spec["stride"], spec["circular"])


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
