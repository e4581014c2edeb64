"""One set divided into training, validation and test."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Int

from unrollbit.arguments import shown


def checked_fractions(name: str, fractions: Any) -> tuple[float, float, float]:
    """Raise ``ValueError`` unless they are three positive shares of sum 1."""
    try:
        train, validation, test = (float(share) for share in fractions)
    except (TypeError, ValueError):
        train = validation = test = math.nan
    if not (min(train, validation, test) > 0 and math.isclose(train + validation + test, 1.0, abs_tol=1e-6)):
        raise ValueError(
            f"{name}: expected three positive shares of sum 1 (train, validation, test), got {shown(fractions)}"
        )
    return train, validation, test


def shuffled_parts(
    what: str, count: int, shares: tuple[float, float, float], seed: int
) -> tuple[Int[np.ndarray, " part"], ...]:
    """Three disjoint sets of indices that together are ``0..count-1``, shuffled by ``RandomState(seed)``.

    Raises ``ValueError`` for fewer than three of ``what``.
    """
    validation, test = (max(1, round(share * count)) for share in shares[1:])
    train = count - validation - test
    if train < 1:
        raise ValueError(f"{what}: {count} are too few to split into train, validation and test; expected 3 or more")
    order = np.random.RandomState(seed).permutation(count)
    return tuple(np.split(order, [train, train + validation]))
