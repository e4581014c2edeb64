"""Exact norms and small helpers in float64, shared by all theorems."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


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


def norms(vectors: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch"]:
    """Euclidean norms along the last axis."""
    return np.linalg.norm(vectors, axis=-1)
