"""H1: what holds for nearly all signals, exactly, from a sample of fresh ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from unrollbit.theory.generalization.divergence import klinv
from unrollbit.theory.generalization.gap import clopper_pearson
from unrollbit.theory.prediction.held_out import HeldOut, decibels
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, upper_bound

SHARE = 0.99  # of signals, that a tolerance limit is for
_SHARES = (SHARE, 0.95, 0.9, 0.75, 0.5)
FAILURE_DB = -20.0  # NMSE from which a signal counts as missed
FRESH = "the signals are fresh, independent draws of the distribution that the statement is about"
_CHECK = 1e-3  # a true statement is called violated with this probability


@dataclass(frozen=True)
class Certificate:
    """``limit_db``: a share ``share`` of signals has an NMSE below it; ``failure``: at most this share is above
    ``failure_db``; ``risk``: at most this is the mean of min(NMSE, 1). Each with probability ``confidence`` over the
    ``signals`` drawn.
    """

    signals: int
    confidence: float
    share: float
    limit_db: float
    failure_db: float
    failure: float
    risk: float


def tolerance_limit(values: Float[np.ndarray, " N"], share: float, confidence: float) -> float:
    """The smallest order statistic that is above a share ``share`` of the distribution with probability
    ``confidence``: number k where ``P(Binomial(N, share) < k) >= confidence``; infinite where N is too small.

    Exact for every distribution. Source: Wilks, Ann. Math. Stat. 12 (1941). Raises ``ValueError`` for a share or
    confidence outside (0, 1).

    Example:
        >>> tolerance_limit(np.arange(299.0), 0.99, 0.95), tolerance_limit(np.arange(298.0), 0.99, 0.95)
        (298.0, inf)
    """
    if not (0 < share < 1 and 0 < confidence < 1) or np.ndim(values) != 1:
        raise ValueError(
            f"tolerance_limit: expected values (N,), share, confidence in (0, 1); got {share}, {confidence}"
        )
    k = int(binom.ppf(confidence, len(values), share)) + 1
    return float(np.sort(values)[k - 1]) if k <= len(values) else math.inf


def largest_share(signals: int, confidence: float) -> float:
    """The largest of 99, 95, 90, 75 and 50 % for which so many signals have a tolerance limit (50 %: perhaps none).

    Example:
        >>> largest_share(2000, 0.95), largest_share(22, 0.95)
        (0.99, 0.75)
    """
    possible = [share for share in _SHARES if share**signals <= 1 - confidence]
    return possible[0] if possible else _SHARES[-1]


def enough(signals: int, confidence: float) -> dict[str, bool]:
    """The assumption that so many signals have a tolerance limit at all, of half of their distribution at least.

    Example:
        >>> enough(4, 0.95)
        {'the limit is made of at least 5 fresh signals': False}
    """
    least = math.ceil(math.log(1 - confidence) / math.log(_SHARES[-1]))
    return {f"the limit is made of at least {least} fresh signals": signals >= least}


def certificate(
    nmse: Float[np.ndarray, " N"], *, confidence: float = 0.95, share: float = SHARE, failure_db: float = FAILURE_DB
) -> Certificate:
    """All three statements from the NMSE of N fresh signals.

    Sources: tolerance limits, Wilks 1941; failures, Clopper, Pearson, Biometrika 26 (1934); risk, by the relative
    entropy, Langford, J. Mach. Learn. Res. 6 (2005).

    Example:
        >>> found = certificate(np.full(2000, 1e-5))
        >>> round(found.limit_db, 6), round(found.failure, 4), round(found.risk, 4)
        (-50.0, 0.0015, 0.0016)
    """
    nmse = np.asarray(nmse, np.float64)
    N, level = len(nmse), 1 - confidence
    db = decibels(nmse)
    failures = clopper_pearson(int(np.sum(~(db <= failure_db))), N, level=level)[1]
    risk = klinv(float(_losses(nmse).mean()), math.log(1 / level) / N)
    limit = tolerance_limit(np.where(np.isnan(db), np.inf, db), share, confidence)
    return Certificate(N, confidence, share, limit, failure_db, failures, risk)


@theorem(
    "prediction",
    "nearly all signals (99 %; of a small sample fewer) are below this NMSE",
    "NMSE in dB",
    on=HeldOut,
    examine=lambda at: H1(at),
    certainty="probable",
    meaning="{share:.0%} of signals end below {bound:.1f} dB",
)
def H1(held: HeldOut) -> Report:
    """Tolerance limit: 99 % of signals have an NMSE below the bound, with confidence ``1 - delta`` over the first half
    of the held-out signals; checked on the second half, of which ``measured`` is the 99 % quantile. Fewer than 299
    signals have a limit of 95, 90, 75 or 50 % (``largest_share``): the report has the ``share``.

    Violated where significantly more than the other 1 % of the second half are above. For every network, problem and
    loss, and exact. Of the distribution of these signals alone: of other signals it says nothing. Vacuous from 0 dB,
    the zero estimate. ``tightness`` is that of the error norms.
    """
    made, db = _certificate(held), decibels(held.nmse[-1])
    fresh = db[held.second]
    assumptions = {FRESH: True} | enough(made.signals, made.confidence)
    measured = float(np.quantile(fresh, made.share))
    report = replace(upper_bound("H1", made.limit_db, None, 0.0, assumptions), share=made.share)
    above = int(np.sum(~(fresh <= made.limit_db)))
    return checked(report, measured, above, len(fresh), 1 - made.share, 10 ** ((measured - made.limit_db) / 20))


@theorem(
    "prediction",
    "the share of signals above -20 dB is at most this",
    "probability",
    on=HeldOut,
    examine=lambda at: H1p(at),
    certainty="probable",
    meaning="at most {bound:.2%} of signals end above -20 dB",
)
def H1p(held: HeldOut) -> Report:
    """Failure probability: at most the bound of signals has an NMSE above -20 dB, with confidence ``1 - delta``.

    Clopper, Pearson 1934. Checked on the second half of the held-out signals; vacuous at 1.
    """
    made, fresh = _certificate(held), decibels(held.nmse[-1])[held.second]
    count = int(np.sum(~(fresh <= made.failure_db)))
    report = upper_bound("H1p", made.failure, None, 1.0, {FRESH: True})
    return checked(report, count / len(fresh), count, len(fresh), made.failure, count / len(fresh) / made.failure)


@theorem(
    "prediction",
    "the mean of min(NMSE, 1) is at most this",
    "risk",
    on=HeldOut,
    examine=lambda at: H1r(at),
    certainty="probable",
    meaning="the mean of min(NMSE, 1) is at most {bound:.2g}",
)
def H1r(held: HeldOut) -> Report:
    """Risk: the mean of ``min(NMSE, 1)`` is at most ``klinv(mean, ln(1/delta) / N)``, with confidence ``1 - delta``.

    Langford 2005. Checked on the second half of the held-out signals: violated where their mean proves a larger risk
    (a lower limit of the same kind above the bound). The zero estimate has the risk 1.
    """
    made, fresh = _certificate(held), _losses(held.nmse[-1][held.second])
    mean = float(fresh.mean())
    lowest = 1 - klinv(1 - mean, math.log(1 / _CHECK) / len(fresh))
    report = upper_bound("H1r", made.risk, lowest, 1.0, {FRESH: True}, size=1.0)
    return replace(report, measured=mean, tightness=mean / made.risk)


def _losses(nmse: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """``min(NMSE, 1)``; an estimate that is no number is as bad as any."""
    return np.where(np.isnan(nmse), 1.0, np.minimum(nmse, 1.0))


def _certificate(held: HeldOut) -> Certificate:
    nmse, confidence = held.nmse[-1][held.first], 1 - held.settings.delta
    return certificate(nmse, confidence=confidence, share=largest_share(len(nmse), confidence))


def checked(report: Report, measured: float, count: int, trials: int, allowed: float, tightness: float) -> Report:
    """With a measurement: violated where ``count`` of ``trials`` prove a probability above ``allowed``."""
    if report.bound is None:
        return replace(report, measured=measured)
    broken = clopper_pearson(count, trials, level=_CHECK)[0] > allowed
    return replace(report, status="violated" if broken else "holds", measured=measured, tightness=float(tightness))
