"""Exact norms and small helpers in float64, shared by all theorems."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

ROUNDING = 1e-12  # relative, of float64: what the hypotheses of theorems are met up to

LARGEST = 1e300  # of a signal or measurement: sums of larger ones overflow


def finite(what: str, values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """The values; raises ``ValueError`` for NaN, infinities and numbers above 1e300, whose sums leave float64."""
    if not (np.abs(values) <= LARGEST).all():
        raise ValueError(f"{what}: expected finite numbers up to {LARGEST:g} in magnitude")
    return values


def spectral_norm(matrix: Float[np.ndarray, "*layers m n"]) -> Float[np.ndarray, "*layers"]:
    """``||M||``, the largest singular value, by a full SVD (0 for an empty matrix).

    Never by power iteration, which approaches it from below: upper bounds would become false.
    """
    if 0 in matrix.shape[-2:]:
        return np.zeros(matrix.shape[:-2])
    return np.linalg.norm(matrix, 2, axis=(-2, -1))


def restricted_norm(
    matrix: Float[np.ndarray, "p q"], rows: Bool[np.ndarray, " p"], columns: Bool[np.ndarray, " q"]
) -> float:
    """``||M[R, C]||``, 0 where either set is empty."""
    return float(spectral_norm(matrix[np.ix_(rows, columns)]))


def top_sum(values: Float[np.ndarray, "*rows n"], count: int) -> Float[np.ndarray, "*rows"]:
    """Sum of the ``count`` largest entries along the last axis (all of them if there are fewer)."""
    count = min(count, values.shape[-1])
    if count <= 0:
        return np.zeros(values.shape[:-1])
    return np.partition(values, values.shape[-1] - count, axis=-1)[..., -count:].sum(-1)


def soft(u: Float[np.ndarray, "*batch n"], threshold: float) -> Float[np.ndarray, "*batch n"]:
    """``sign(u) max(|u| - threshold, 0)`` in NumPy: an exact zero below the threshold."""
    return np.sign(u) * np.maximum(np.abs(u) - threshold, 0.0)


def norms(vectors: Float[np.ndarray, "*batch n"], order: float = 2) -> Float[np.ndarray, "*batch"]:
    """Norms along the last axis (``order`` 1, 2 or infinity), for entries of any size.

    Squares of entries above 1e154 overflow and those below 1e-162 vanish, so entries are first divided by a power of
    two, which is exact.
    """
    vectors = np.asarray(vectors, np.float64)
    if not vectors.shape[-1]:
        return np.zeros(vectors.shape[:-1])
    _, exponent = np.frexp(np.abs(vectors).max(-1, keepdims=True))
    near_one = np.ldexp(vectors, -exponent)
    with np.errstate(over="ignore"):  # a norm that float64 cannot hold is infinite
        return np.ldexp(np.linalg.norm(near_one, order, axis=-1), exponent[..., 0])


def at_most(
    value: Float[ArrayLike, "*shape"], limit: Float[ArrayLike, "*shape"], size: float = 0.0
) -> Bool[np.ndarray, "*shape"]:
    """``value <= limit``, where what is met with equality may miss it by rounding.

    Every hypothesis of a theorem that compares two numbers is decided here. The slack is 1e-12 of the limit, or of the
    ``size`` of the numbers that ``value`` is a difference of.
    """
    limit = np.asarray(limit, np.float64)
    return np.asarray(value) <= limit + ROUNDING * np.maximum(np.abs(limit), size)
