"""The price of one bit: theorem C6, on the coherence of a Gaussian matrix with its own signs."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from unrollbit.theory.instances import Physics
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, upper_bound


def one_bit_matrix(A: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "m n"]:
    """``sqrt(pi / (2 m)) sign(A)``: for Gaussian A of variance 1 / m the scale at which ``E w_i^T a_i = 1``."""
    return math.sqrt(math.pi / (2 * A.shape[0])) * np.where(A >= 0, 1.0, -1.0)


@theorem(
    "convergence",
    "what one bit costs in coherence",
    "coherence",
    on=Physics,
    examine=lambda at: C6(at.form.A),
    certainty="probable",
    meaning="one bit costs the coherence at most {bound:.3g}",
)
def C6(A: Float[np.ndarray, "m n"], delta: float = 0.05, *, gaussian: bool = False) -> Report:
    """``max_ij |delta_ij - w_i^T a_j| <= t`` with probability ``1 - delta``, ``t = sqrt((pi / m) ln(2 n^2 / delta))``.

    W is ``one_bit_matrix(A)``. That the entries of A are independent N(0, 1 / m) cannot be read off a matrix: the
    caller states it with ``gaussian``. A share delta of the draws may be reported as violated. Consequence: thresholds
    by ``c1_schedule`` have a rate of at most ``2 s t``, and ``m >= 4 pi s^2 ln(2 n^2 / delta) / c^2`` measurements give
    a rate c; full precision needs pi / 2 times fewer. Vacuous from t = 1, which the zero matrix attains. Raises
    ``ValueError`` unless A is a finite matrix and ``0 < delta < 1``.

    Proof: given a_i, ``w_i^T a_j`` is N(0, pi / (2 m)); the diagonal is a Lipschitz function of a Gaussian, with
    constant sqrt(pi / (2 m)) and mean 1; a union bound over n^2 entries. Source: C6.

    Example:
        >>> A = np.random.RandomState(0).randn(400, 20) / 20
        >>> C6(A, gaussian=True).status
        'holds'
    """
    A = np.asarray(A, np.float64)
    if A.ndim != 2 or 0 in A.shape or not np.isfinite(A).all():
        raise ValueError(f"C6 A: expected a finite matrix (m, n), got shape {A.shape}")
    if not 0 < delta < 1:
        raise ValueError(f"C6 delta: expected 0 < delta < 1, got {delta}")
    m, n = A.shape
    t = math.sqrt(math.pi / m * math.log(2 * n * n / delta))
    found = float(np.abs(np.eye(n) - one_bit_matrix(A).T @ A).max())
    return upper_bound("C6", t, found, 1.0, {"the entries of A are independent N(0, 1 / m)": gaussian}, size=1.0)
