"""H2: an error bar for every signal, calibrated on signals whose errors are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.stats import betabinom

from unrollbit.packed.error_bar import ErrorBar
from unrollbit.theory.prediction.held_out import HeldOut, Sized, sized
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, lower_bound

LEVEL = 0.9
EXCHANGEABLE = "the signals are exchangeable with those of the calibration"
_CHECK = 1e-3  # a true statement is called violated with this probability


def conformal_quantile(scores: Float[np.ndarray, " N"], level: float) -> float:
    """The ``ceil((N + 1) level)``-th smallest score: a score exchangeable with these is below it with at least the
    probability ``level``, and at most ``level + 1 / (N + 1)`` where scores do not tie; infinite where N is too small.

    Source: Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World" (2005). Raises ``ValueError`` for a level
    outside (0, 1).

    Example:
        >>> conformal_quantile(np.arange(1.0, 10.0), 0.9), conformal_quantile(np.arange(1.0, 9.0), 0.9)
        (9.0, inf)
    """
    if not 0 < level < 1:
        raise ValueError(f"conformal_quantile: expected a level in (0, 1), got {level}")
    k = math.ceil((len(scores) + 1) * level)
    return float(np.sort(scores)[k - 1]) if k <= len(scores) else math.inf


def rounded_up(value: float) -> float:
    """The least number of six digits that is not below: what a file holds, and no promise is broken.

    Example:
        >>> rounded_up(2.5026165), rounded_up(2.5026145), rounded_up(math.inf)
        (2.50262, 2.50262, inf)
    """
    near = float(f"{value:.6g}")
    if near >= value or not math.isfinite(value):
        return near
    unit = 10.0 ** (math.floor(math.log10(abs(near))) - 5)
    return float(f"{near + unit:.6g}")


def fitted(chosen: Sized) -> ErrorBar:
    """An uncalibrated bar, with the exponents of ``followed``. Its signals must not be those of the calibration."""
    floor = rounded_up(float(np.finfo(np.float32).eps) * math.sqrt(float(np.mean(chosen.sizes["measurement"] ** 2))))
    return ErrorBar(LEVEL, len(chosen.errors), 1.0, followed(chosen.errors, chosen.sizes, floor), floor)


def followed(
    errors: Float[np.ndarray, " N"], sizes: Mapping[str, Float[np.ndarray, " N"]], floor: float
) -> dict[str, float]:
    """Exponents with which products of sizes follow the logarithms of errors best (least squares, none negative: a bar
    grows with every size).
    """
    names = sorted(sizes)
    logs = np.stack([np.log(np.maximum(sizes[name], floor)) for name in names], axis=1)
    errors = np.log(np.maximum(errors, floor))
    kept = np.isfinite(logs).all(axis=1) & np.isfinite(errors)
    logs, errors = logs[kept], errors[kept]
    exponents, _ = nnls(logs - logs.mean(axis=0), errors - errors.mean())
    return {name: float(f"{power:.4g}") for name, power in zip(names, exponents, strict=True) if power > 0}


def calibrated(bar: ErrorBar, held: Sized, level: float = LEVEL) -> ErrorBar:
    """The bar with the conformal quantile of ``||x^ - x|| / size`` on signals that nothing else has seen."""
    scores = held.scores(bar)
    return replace(bar, level=level, signals=len(scores), quantile=rounded_up(conformal_quantile(scores, level)))


def usable(bar: ErrorBar) -> dict[str, bool]:
    """What a calibrated bar needs to be one: signals enough for its level, and estimates that are numbers.

    Example:
        >>> usable(ErrorBar(0.9, 8, np.inf, {}, 0.0))
        {'the bar is calibrated on at least 9 signals': False, 'estimates of the calibration are numbers': True}
    """
    least = math.ceil(bar.level / (1 - bar.level) - 1e-9)
    many, finite = bar.signals >= least, math.isfinite(bar.quantile)
    return {
        f"the bar is calibrated on at least {least} signals": many,
        "estimates of the calibration are numbers": finite or not many,
    }


@theorem(
    "prediction",
    "error bars cover 90 % of signals",
    "coverage",
    on=HeldOut,
    examine=lambda at: H2(at),
    certainty="probable",
    meaning="error bars hold for {bound:.0%} of signals; the typical error is {tightness:.2f} of its bar",
)
def H2(held: HeldOut, level: float = LEVEL) -> Report:
    """Conformal error bar ``||x^ - x*|| <= q s(y)``: it covers a share of at least ``level`` of signals, on average
    over calibrations; s(y) is known without x* and chosen on validation signals, q is calibrated on the first half of
    the held-out signals, and coverage is measured on the second.

    Given a calibration of N signals, the number of N' fresh ones that are covered is Beta-Binomial: violated where so
    small or so large a number has a probability below 0.001. ``tightness`` is the median of error over bar. Signals of
    another distribution can break it.
    """
    bar = calibrated(fitted(sized(held.net, *held.chosen)), held.sizes.part(held.first), level)
    assumptions = {EXCHANGEABLE: True} | usable(bar)
    fresh = held.sizes.part(held.second).scores(bar) / bar.quantile
    coverage = float(np.mean(fresh <= 1))
    report = lower_bound("H2", level, None, 0.0, assumptions)
    if report.bound is None:
        return replace(report, measured=coverage)
    status = "holds" if is_plausible(int(np.sum(fresh <= 1)), len(fresh), bar.signals, level) else "violated"
    return replace(report, status=status, measured=coverage, tightness=float(np.median(fresh)))


def is_plausible(covered: int, signals: int, calibration: int, level: float) -> bool:
    """Whether so many of fresh signals may be covered after a calibration of this size, by chance."""
    k = math.ceil((calibration + 1) * level)
    law = betabinom(signals, k, calibration + 1 - k)
    return min(law.cdf(covered), law.sf(covered - 1)) >= _CHECK / 2
