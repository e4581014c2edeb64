"""Sign factors of a matrix: Dual-SVID, joint rotation, and the rank that a rate of bits allows. NumPy, exact."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unrollbit.decompositions.rank_one import rank_one

_DOUBLE = 1024  # matrices with more rows and columns are decomposed in float32: half the time, 1e-6 of a vector
_ROUNDS = 50
_NEWTON = 40
SCALAR_BITS = 16


class SignFactors(NamedTuple):
    """``W_hat = diag(rows) sign(left) diag(middle) sign(right) diag(columns)``."""

    left: Float[np.ndarray, "m r"]
    right: Float[np.ndarray, "r n"]
    rows: Float[np.ndarray, " m"]
    middle: Float[np.ndarray, " r"]
    columns: Float[np.ndarray, " n"]

    def dense(self) -> Float[np.ndarray, "m n"]:
        """The matrix that the factors stand for; ``sign(0) = +1``."""
        left, right = (np.where(factor >= 0, 1.0, -1.0) for factor in (self.left, self.right))
        return (self.rows[:, None] * left * self.middle) @ (right * self.columns)


class SVD(NamedTuple):
    """Singular value decomposition ``U diag(s) Vt``."""

    U: Float[np.ndarray, "m p"]
    s: Float[np.ndarray, " p"]
    Vt: Float[np.ndarray, "p n"]


def decomposed(matrix: Float[np.ndarray, "m n"]) -> SVD:
    """Exact; in float32 for matrices of more than 1,024 rows and columns."""
    matrix = np.asarray(matrix, np.float64)
    largest = np.abs(matrix).max(initial=0.0) or 1.0
    narrow = min(matrix.shape) > _DOUBLE
    U, s, Vt = np.linalg.svd((matrix / largest).astype(np.float32 if narrow else np.float64), full_matrices=False)
    return SVD(U, s.astype(np.float64) * largest, Vt)


def dual_svid(matrix: SVD, rank: int, *, rotate: bool = False, first: int = 0) -> SignFactors:
    """Truncated SVD ``W ~ U V`` with the singular values split evenly, then one rank-one approximation each of ``|U|``
    and ``|V|``: ``|U| ~ h u^T``, ``|V| ~ v g^T``, ``middle = u v``.

    ``matrix`` is given by its decomposition. ``rotate`` replaces U, V by ``U R``, ``R^T V`` with the orthogonal R
    of ``joint_rotation``. ``rank`` is at most ``min(m, n)``; ``first`` numbers the first singular value that is used,
    cyclically. Source: LittleBit (arXiv 2506.13771); the rotation: LittleBit-2 (arXiv 2603.00042).
    """
    U, s, Vt = matrix
    chosen = (first + np.arange(rank)) % len(s)
    root = np.sqrt(s[chosen])
    left, right = U[:, chosen] * root, root[:, None] * Vt[chosen]
    if rotate:
        R = joint_rotation(np.concatenate([left, right.T]))
        left, right = left @ R, R.T @ right
    (h, u), (v, g) = rank_one(left), rank_one(right)
    return SignFactors(left, right, h, u * v, g)


def sign_paths(
    blocks: list[SVD], rank: int, paths: int = 1, *, rotate: bool = False, first: int = 0
) -> list[list[SignFactors]]:
    """Sign factors of every block, for each path: the first of the matrices, the next of what the first one misses."""
    found: list[list[SignFactors]] = []
    for path in range(paths):
        if path:
            wholes = [(svd.U * svd.s) @ svd.Vt for svd in blocks]
            blocks = [decomposed(whole - one.dense()) for whole, one in zip(wholes, found[-1], strict=True)]
        found.append([dual_svid(block, rank, rotate=rotate, first=first) for block in blocks])
    return found


def joint_rotation(factors: Float[np.ndarray, "p r"], rounds: int = _ROUNDS) -> Float[np.ndarray, "r r"]:
    """Orthogonal R for which ``F R`` is close to its signs: in turn signs ``B = sign(F R)`` and ``max_R <F R, B>``.

    Each round can only decrease ``||F R - c B||``. Starts at a fixed random rotation. Source: iterative quantisation
    (Gong et al., "Iterative quantization", TPAMI 2013), on both factors at once.
    """
    r = factors.shape[1]
    R = np.linalg.qr(np.random.RandomState(0).standard_normal((r, r)))[0]
    for _ in range(rounds):
        R = nearest_rotation(factors.T @ np.where(factors @ R >= 0, 1.0, -1.0))
    return R


def nearest_rotation(matrix: Float[np.ndarray, "r r"]) -> Float[np.ndarray, "r r"]:
    """The orthogonal R that maximises ``<R, M>``: the polar factor of M, by Newton's iteration (Higham, SIAM J. Sci.
    Stat. Comput. 1986), which takes a tenth of the time of the singular value decomposition it falls back on.
    """
    X = matrix / (np.abs(matrix).max(initial=0.0) or 1.0)
    try:
        following = X
        for _ in range(_NEWTON):
            inverse = np.linalg.inv(X).T
            balance = np.sqrt(np.linalg.norm(inverse) / np.linalg.norm(X))
            following = (balance * X + inverse / balance) / 2
            if np.linalg.norm(following - X) <= 1e-9 * np.linalg.norm(following):
                break
            X = following
        X = (following + np.linalg.inv(following).T) / 2
        if np.abs(X.T @ X - np.eye(len(X))).max() < 1e-10:
            return X
    except np.linalg.LinAlgError:  # singular
        pass
    P, _, Qt = np.linalg.svd(matrix)
    return P @ Qt


def rate(m: int, n: int, rank: int, entries: int, paths: int = 1) -> float:
    """Bits per entry of sign factors: ``paths (r (m + n + 16) + 16 (m + n)) / entries``."""
    return paths * (rank * (m + n + SCALAR_BITS) + SCALAR_BITS * (m + n)) / entries


def rank_for(
    m: int, n: int, bits_per_weight: float, *, entries: int | None = None, paths: int = 1, multiple: int = 8
) -> int:
    """The largest rank, a multiple of ``multiple``, whose rate does not exceed ``bits_per_weight``.

    ``entries``: entries that exist (None: m n); ``paths``: 2 with a residual. The published code rounds a rank below 8
    up to 8 without a message, and so misses the target on small matrices; here that is an error.

    Raises:
        ValueError: no such rank (the message names the smallest or largest rate that can be reached), or arguments out
            of range.

    Example:
        >>> rank_for(4096, 4096, 0.55), rank_for(4096, 4096, 0.55, paths=2)
        (1104, 544)
    """
    if isinstance(multiple, bool) or not isinstance(multiple, int) or not 1 <= multiple <= min(m, n):
        raise ValueError(f"multiple: expected an integer in [1, {min(m, n)}], the smaller side, got {multiple!r}")
    if isinstance(bits_per_weight, bool) or not (isinstance(bits_per_weight, int | float) and bits_per_weight > 0):
        raise ValueError(f"bits_per_weight: expected a number > 0, got {bits_per_weight!r}")
    entries = m * n if entries is None else entries
    exact = (bits_per_weight * entries / paths - SCALAR_BITS * (m + n)) / (m + n + SCALAR_BITS)
    rank = multiple * math.floor(exact / multiple + 1e-9)
    smallest, largest = multiple, multiple * (min(m, n) // multiple)
    size = f"a matrix of {m} x {n}" + (f" with {entries} entries" if entries != m * n else "")
    path = " with a residual" if paths == 2 else ""
    if rank < smallest:
        least = rate(m, n, 1, entries, paths)
        other = f"; multiple=1 reaches {_up(least)}" if multiple > 1 else ""
        raise ValueError(
            f"bits_per_weight: {size} cannot be held at {bits_per_weight:g}{path}; the smallest rate is "
            f"{_up(rate(m, n, smallest, entries, paths))} (rank {smallest}){other}"
        )
    if rank > largest:
        raise ValueError(
            f"bits_per_weight: {size} has no use for {bits_per_weight:g}{path}; the largest rate is "
            f"{_up(rate(m, n, largest, entries, paths))} (rank {largest})"
        )
    return rank


def _up(rate: float) -> str:
    """Four digits, rounded up: a rate that can be asked for."""
    return f"{math.ceil(rate * 1e4) / 1e4:g}"
