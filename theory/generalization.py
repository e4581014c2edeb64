"""Certificates of the test risk that count bits: what a network of few bits can hide is little.

The loss is ``min(||x_hat - x||^2 / c, B)`` with ``c`` fixed before data (``E ||x||^2`` of the generator), so the zero
estimate has risk about 1. Training pairs are independent draws of the test distribution; the network is the one
decoded from its stored bits; the code (and ``A``, the masks, the reference signs) is fixed before seeing data.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from unrollbit.theory.report import Report, upper_bound


def clipped_losses(
    x_hat: Float[np.ndarray, "N n"], x: Float[np.ndarray, "N n"], c: float, B: float = 1.0
) -> Float[np.ndarray, " N"]:
    """``min(||x_hat - x||^2 / c, B)`` per signal, float64. Raises ``ValueError`` for unequal shapes or c, B <= 0."""
    a, b = np.asarray(x_hat, np.float64), np.asarray(x, np.float64)
    if a.shape != b.shape or a.ndim != 2 or not (c > 0 and B > 0):
        raise ValueError(
            f"clipped_losses: expected equal shapes (N, n) and c, B > 0; got {a.shape}, {b.shape}, {c}, {B}"
        )
    return np.minimum(((a - b) ** 2).sum(-1) / c, B)


def code_length(
    stored_entries: int, scalars: int, *, flips: int | None = None, matrices: int = 1, width: int = 32
) -> float:
    """Bits of a prefix code of the network: the cheaper of raw signs and flips from ``sign(A)``, plus the bit that
    says which.

    Raw: ``stored_entries + width * scalars``. Flips (``flips`` in all, spread evenly over ``matrices`` matrices of
    ``P`` entries): ``sum log2(P + 1) + log2 C(P, f)`` instead of the entries; pass None where there is no reference.
    """
    raw = stored_entries + width * scalars
    if flips is None:
        return raw + 1.0
    P = stored_entries // matrices
    share, rest = divmod(flips, matrices)
    per_matrix = [share + (index < rest) for index in range(matrices)]
    coded = sum(math.log2(P + 1) + _log2_binomial(P, f) for f in per_matrix) + width * scalars
    return min(raw, coded) + 1.0


def klinv(p: float, c: float) -> float:
    """``sup {q >= p: kl(p || q) <= c}`` for Bernoulli distributions, nats; by bisection, rounded up.

    Raises ``ValueError`` unless ``0 <= p <= 1`` and ``c >= 0``.
    """
    if not (0 <= p <= 1 and c >= 0):
        raise ValueError(f"klinv: expected 0 <= p <= 1 and c >= 0, got {p} and {c}")
    low, high = p, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if _kl(p, middle) <= c:
            low = middle
        else:
            high = middle
    return high


def G1(
    losses: Float[np.ndarray, " N"], bits: float, *, delta: float = 0.05, B: float = 1.0, test_risk: float | None = None
) -> Report:
    """Occam bound: ``R <= R_train + B sqrt((b ln 2 + ln(1 / delta)) / (2 N))`` for all networks at once, with prob. 1
    - delta.

    Proof: Hoeffding's inequality at level ``delta 2^-b(h)`` for each network h, and Kraft's inequality for the code.
    ``test_risk`` is the measured risk to compare with.
    """
    values, assumptions = _checked(losses, delta, B)
    bound = values.mean() + B * math.sqrt((bits * math.log(2) + math.log(1 / delta)) / (2 * len(values)))
    return upper_bound("G1", float(bound), test_risk, min(B, 1.0), assumptions)


def G3a(
    losses: Float[np.ndarray, " N"], bits: float, *, delta: float = 0.05, B: float = 1.0, test_risk: float | None = None
) -> Report:
    """Occam-kl bound: ``R <= B klinv(R_train / B, (b ln 2 + ln(1 / delta)) / N)`` with probability 1 - delta.

    Proof: ``P(R_train <= R and kl(R_train || R) >= c) <= exp(-N c)`` for losses in [0, 1] (Chernoff), and Kraft. At
    zero training risk it decreases as 1 / N.
    """
    values, assumptions = _checked(losses, delta, B)
    c = (bits * math.log(2) + math.log(1 / delta)) / len(values)
    return upper_bound("G3a", B * klinv(float(values.mean()) / B, c), test_risk, min(B, 1.0), assumptions)


def _checked(losses: np.ndarray, delta: float, B: float) -> tuple[np.ndarray, dict[str, bool]]:
    values = np.asarray(losses, np.float64)
    if values.ndim != 1 or not values.size or not 0 < delta < 1 or not B > 0:
        raise ValueError(f"expected losses (N,), 0 < delta < 1 and B > 0; got shape {values.shape}, {delta}, {B}")
    return values, {"losses lie in [0, B]": bool((values >= 0).all() and (values <= B * (1 + 1e-12)).all())}


def _kl(p: float, q: float) -> float:
    if q >= 1.0:
        return 0.0 if p >= 1.0 else math.inf
    first = 0.0 if p == 0 else p * math.log(p / q)
    return first + (0.0 if p == 1 else (1 - p) * math.log((1 - p) / (1 - q)))


def _log2_binomial(n: int, k: int) -> float:
    return (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)) / math.log(2)
