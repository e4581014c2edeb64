"""Kullback-Leibler divergence of two coins, and its inverse."""

from __future__ import annotations

import math


def kl(p: float, q: float) -> float:
    """``kl(p || q) = p ln(p / q) + (1 - p) ln((1 - p) / (1 - q))`` in nats; infinite where q excludes what p allows."""
    if not (0 <= p <= 1 and 0 <= q <= 1):
        raise ValueError(f"kl: expected probabilities, got {p} and {q}")
    if (q == 0 and p > 0) or (q == 1 and p < 1):
        return math.inf
    first = 0.0 if p == 0 else p * math.log(p / q)
    return first + (0.0 if p == 1 else (1 - p) * (math.log1p(-p) - math.log1p(-q)))


def klinv(p: float, c: float) -> float:
    """``sup {q >= p: kl(p || q) <= c}``; by bisection, rounded up.

    Raises ``ValueError`` unless ``0 <= p <= 1`` and ``c >= 0``.

    Example:
        >>> round(klinv(0.0, 0.5), 6)  # 1 - exp(-c)
        0.393469
    """
    if not (0 <= p <= 1 and c >= 0):
        raise ValueError(f"klinv: expected 0 <= p <= 1 and c >= 0, got {p} and {c}")
    low, high = p, 1.0
    for _ in range(200):
        middle = (low + high) / 2
        if kl(p, middle) <= c:
            low = middle
        else:
            high = middle
    return high
