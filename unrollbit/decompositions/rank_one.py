"""Best rank-one approximations of non-negative matrices, exact, in float64."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

_DENSE = 64  # up to this many rows or columns a full decomposition is cheap
_ROUNDS = 500
_TOLERANCE = 1e-12


def rank_one(
    matrix: Float[np.ndarray, "m n"], exists: Bool[np.ndarray, "m n"] | None = None
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " n"]]:
    """``h, g >= 0`` that minimise ``||M o (|X| - h g^T)||_F``; the scale is split evenly, ``||h|| = ||g||``.

    Without a mask M they are the leading singular vectors of |X| (non-negative by Perron and Frobenius), each times the
    root of the singular value. With one, alternating least squares from there, which never increases the error.
    """
    size = np.abs(np.asarray(matrix, np.float64))
    largest = size.max(initial=0.0)
    if largest == 0.0:
        return np.zeros(size.shape[0]), np.zeros(size.shape[1])
    size = size / largest
    h, g = _leading(size if exists is None else size * exists)
    if exists is not None:
        h, g = _alternate(size, exists, h, g)
        split = np.sqrt(np.linalg.norm(g) / max(np.linalg.norm(h), 1e-300))
        h, g = h * split, g / split
    return h * np.sqrt(largest), g * np.sqrt(largest)


def _leading(size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if min(size.shape) <= _DENSE:
        U, s, Vt = np.linalg.svd(size, full_matrices=False)
    else:
        from scipy.sparse.linalg import svds  # Lanczos to machine precision, from a fixed start

        U, s, Vt = (np.asarray(part) for part in svds(size, k=1, v0=np.ones(min(size.shape)), maxiter=10_000))
    root = np.sqrt(s[0])
    return root * np.abs(U[:, 0]), root * np.abs(Vt[0])


def _alternate(size: np.ndarray, exists: np.ndarray, h: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = exists.astype(np.float64)
    size = size * there
    error = np.inf
    for _ in range(_ROUNDS):
        h = size @ g / np.maximum(there @ g**2, 1e-300)
        g = size.T @ h / np.maximum(there.T @ h**2, 1e-300)
        found = ((size - there * np.outer(h, g)) ** 2).sum()
        if error - found <= _TOLERANCE * max(found, 1e-300):
            break
        error = found
    return h, g
