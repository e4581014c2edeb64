"""G0: the measured gap and its interval; the sampling error of every measured risk."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import betaincinv

from unrollbit.theory.generalization.losses import checked_losses
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, upper_bound


@dataclass(frozen=True)
class Gap:
    """``R_test - R_train`` and the half width of its interval: ``R_train`` is a number, with no sampling error."""

    train: float
    test: float
    half_width: float

    @property
    def gap(self) -> float:
        """``R_test - R_train``."""
        return self.test - self.train

    @property
    def interval(self) -> tuple[float, float]:
        """Limits of the true gap ``R - R_train``."""
        return self.gap - self.half_width, self.gap + self.half_width


def half_width(values: Float[np.ndarray, " N"], *, B: float = 1.0, level: float = 0.05) -> float:
    """Two-sided empirical Bernstein half width ``sqrt(2 V ln(4/d) / N) + 7 B ln(4/d) / (3 (N - 1))``, d = ``level``.

    V is the unbiased sample variance. The mean of the N independent values in [0, B] is within it of its expectation
    with probability at least 1 - d. Source: Maurer, Pontil, "Empirical Bernstein bounds", COLT 2009, on both sides.
    Raises ``ValueError`` for fewer than two values or a level outside (0, 1).
    """
    sample, _ = checked_losses("half_width", values, B)
    N = len(sample)
    if N < 2 or not 0 < level < 1:
        raise ValueError(f"half_width: expected at least 2 values and 0 < level < 1, got {N} and {level}")
    log = math.log(4 / level)
    return math.sqrt(2 * float(sample.var(ddof=1)) * log / N) + 7 * B * log / (3 * (N - 1))


def measured_gap(
    losses: Float[np.ndarray, " N"], test_losses: Float[np.ndarray, " Nt"], *, B: float = 1.0, level: float = 0.05
) -> Gap:
    """The measured gap and its interval at confidence ``1 - level``, from training losses and fresh test losses.

    Example:
        >>> gap = measured_gap(np.zeros(100), np.full(10_000, 0.25))
        >>> gap.gap, round(gap.half_width, 4)
        (0.25, 0.001)
    """
    train, _ = checked_losses("measured_gap", losses, B)
    test, _ = checked_losses("measured_gap", test_losses, B)
    return Gap(float(train.mean()), float(test.mean()), half_width(test, B=B, level=level))


@theorem(
    "generalization",
    "sampling error of the measured risk",
    "risk",
    on=Sample,
    examine=lambda at: G0(at.test, level=at.settings.delta),
    certainty="probable",
    meaning="the measured risk is within {bound:.2g} of the true one",
)
def G0(
    test_losses: Float[np.ndarray, " Nt"],
    *,
    level: float = 0.05,
    B: float = 1.0,
    risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Interval of the risk: ``|R_test - R| <= half_width(test_losses)`` with probability ``1 - level``.

    ``risk`` is the exact population risk R where it is known (a finite pool); without it the bound is not measured.
    """
    values, inside = checked_losses("G0", test_losses, B)
    assumptions = {"losses lie in [0, B]": inside, "Nt >= 2": len(values) >= 2, **protocol.test()}
    if not 0 < level < 1:
        raise ValueError(f"G0: expected 0 < level < 1, got {level}")
    bound = half_width(values, B=B, level=level) if len(values) >= 2 else math.inf
    measured = None if risk is None else abs(float(values.mean()) - risk)
    return upper_bound("G0", bound, measured, B, assumptions, size=B)


def hoeffding_samples(width: float, *, B: float = 1.0, level: float = 0.05) -> int:
    """Test signals that make the half width at most ``width`` whatever the variance: ``B^2 ln(2/d) / (2 w^2)``.

    Example:
        >>> hoeffding_samples(0.01)
        18445
    """
    if not (width > 0 and B > 0 and 0 < level < 1):
        raise ValueError(f"hoeffding_samples: expected width, B > 0 and 0 < level < 1, got {width}, {B}, {level}")
    return math.ceil(B**2 * math.log(2 / level) / (2 * width**2))


def clopper_pearson(count: int, trials: int, *, level: float = 0.05) -> tuple[float, float]:
    """Exact limits of a probability of which ``count`` of ``trials`` events were seen; each side errs with ``level``.

    The lower one, above delta, shows that a bound fails more often than its delta allows. Source: Clopper, Pearson,
    Biometrika 1934. Raises ``ValueError`` for counts that do not fit.
    """
    if not (0 <= count <= trials and trials > 0 and 0 < level < 1):
        raise ValueError(
            f"clopper_pearson: expected 0 <= count <= trials, trials > 0; got {count} of {trials}, {level}"
        )
    low = 0.0 if count == 0 else float(betaincinv(count, trials - count + 1, level))
    high = 1.0 if count == trials else float(betaincinv(count + 1, trials - count, 1 - level))
    return low, high
