"""G6: a problem on which full precision must overfit and one bit cannot."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import linprog
from scipy.special import bdtr

from unrollbit.theory.generalization.divergence import kl
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound

_READ_OUT = "the network is a sign read-out of labels that are fair coins"
_LARGEST = 20  # 2^m read-outs are enumerated


def cover_probability(N: int, m: int) -> float:
    """``P(Binomial(N - 1, 1/2) <= m - 1)``: N points in general position in R^m with fair coins as labels are split by
    a hyperplane through the origin.

    Source: Cover, "Geometrical and statistical properties of systems of linear inequalities", 1965.
    """
    if N < 1 or m < 1:
        raise ValueError(f"cover_probability: expected N, m >= 1, got {N} and {m}")
    return float(bdtr(m - 1, N - 1, 0.5))


def one_bit_gap(N: int, m: int, *, delta: float = 0.05) -> float:
    """g*, the largest g with ``kl(1/2 - g || 1/2) <= (m ln 2 + ln(1 / delta)) / N``; 1/2 where that exceeds ln 2.

    Proof: Chernoff for each of 2^m read-outs, and a union.

    Example:
        >>> cover_probability(384, 256) > 1 - 1e-10, round(one_bit_gap(384, 256), 3)
        (True, 0.441)
    """
    if N < 1 or m < 1 or not 0 < delta < 1:
        raise ValueError(f"one_bit_gap: expected N, m >= 1 and 0 < delta < 1, got {N}, {m} and {delta}")
    c = (m * math.log(2) + math.log(1 / delta)) / N
    if c >= math.log(2):
        return 0.5
    low, high = 0.0, 0.5
    for _ in range(100):
        middle = (low + high) / 2
        if kl(0.5 - middle, 0.5) <= c:
            low = middle
        else:
            high = middle
    return high


def separable(y: Float[np.ndarray, "N m"], labels: Bool[np.ndarray, " N"]) -> bool:
    """Whether a full-precision read-out ``sign(v^T y)`` fits all labels: feasibility of ``l_i v^T y_i >= 1``."""
    y, signs = _checked(y, labels)
    found = linprog(np.zeros(y.shape[1]), A_ub=-signs[:, None] * y, b_ub=-np.ones(len(y)), bounds=(None, None))
    return found.status == 0


def largest_one_bit_gap(y: Float[np.ndarray, "N m"], labels: Bool[np.ndarray, " N"]) -> float:
    """``1/2 - training error`` of the best of all 2^m read-outs ``sign(v^T y)``, v in {-1, +1}^m; ``sign(0) = +1``."""
    y, signs = _checked(y, labels)
    m = y.shape[1]
    if m > _LARGEST:
        raise ValueError(f"largest_one_bit_gap: expected m <= {_LARGEST} to enumerate 2^m read-outs, got {m}")
    fewest = len(y)
    for start in range(0, 2**m, 4096):
        codes = np.arange(start, min(start + 4096, 2**m))[:, None]
        v = 1.0 - 2.0 * ((codes >> np.arange(m)) & 1)
        wrong = ((v @ y.T >= 0) != (signs > 0)).sum(axis=1)
        fewest = min(fewest, int(wrong.min()))
    return 0.5 - fewest / len(y)


@theorem(
    "generalization",
    "separation of one bit from full precision",
    "gap",
    on=Sample,
    examine=lambda _: not_applicable("G6", {_READ_OUT: False}),
    certainty="probable",
    meaning="one bit can hide a gap of at most {bound:.3g}",
)
def G6(
    y: Float[np.ndarray, "N m"], labels: Bool[np.ndarray, " N"], *, delta: float = 0.05, coins: bool = True
) -> Report:
    """Separation: with probability 1 - delta no one-bit read-out ``sign(v^T y)`` of fair coins has a gap above ``g*``.

    Every read-out has the true risk 1/2, so the gap is 1/2 minus the training error; it is measured by enumeration.
    A full-precision read-out meanwhile has the gap 1/2 with ``cover_probability``.

    Args:
        y, labels: the sample; labels True and False.
        coins: labels are fair coins, independent of y and of each other.
    """
    y, _ = _checked(y, labels)
    N, m = y.shape
    assumptions = {"labels are independent fair coins": coins}
    bound = one_bit_gap(N, m, delta=delta)
    return upper_bound("G6", bound, largest_one_bit_gap(y, labels), 0.5, assumptions, size=0.5)


def _checked(y: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points in float64 and labels as +-1."""
    y, labels = np.asarray(y, np.float64), np.asarray(labels)
    if y.ndim != 2 or not y.size or labels.shape != (len(y),) or labels.dtype != bool:
        raise ValueError(f"expected y (N, m) and N boolean labels, got {y.shape}, {labels.shape} and {labels.dtype}")
    return y, np.where(labels, 1.0, -1.0)
