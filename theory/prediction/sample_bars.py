"""H2p: an error bar for every sample of a signal on a grid, a pixel say."""

from __future__ import annotations

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.networks import Network, local_sizes
from unrollbit.packed.error_bar import ErrorBar
from unrollbit.theory.prediction.error_bars import EXCHANGEABLE, LEVEL, followed, rounded_up, usable
from unrollbit.theory.prediction.held_out import HeldOut, Sized, in_parts
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, lower_bound, not_applicable

GRID = "the unknowns are samples on a grid"
_SAMPLES = 2**22  # whose errors are looked at: 64 MB with their sizes
_RUN = 2**20
_UNLIKELY = 4.0  # standard errors: a true statement is called violated with a probability below 0.0001


def local(net: Network, x: Float[np.ndarray, "N n"], y: Float[np.ndarray, "N m"]) -> Sized:
    """Run a network on as many of the signals as memory allows, and look at its last step, sample by sample. Needs a
    grid.
    """
    x, y = (rows[: max(1, _SAMPLES // x.shape[1])] for rows in (x, y))

    def run(x: np.ndarray, y: np.ndarray) -> Sized:
        estimates, maps = _local_sizes(net, jnp.asarray(y, jnp.float32))
        return Sized(np.abs(np.asarray(estimates) - x), {name: np.asarray(values) for name, values in maps.items()})

    return in_parts(run, x, y, max(1, _RUN // x.shape[1]))


def fitted_map(chosen: Sized, y: Float[np.ndarray, "N m"]) -> ErrorBar:
    """An uncalibrated bar of samples, as ``fitted`` makes one of signals; its floor is rounding in y."""
    floor = rounded_up(float(np.finfo(np.float32).eps) * math.sqrt(float(np.mean(np.square(y, dtype=np.float64)))))
    maps = {name: values.reshape(-1).astype(np.float64) for name, values in chosen.sizes.items()}
    exponents = followed(chosen.errors.reshape(-1).astype(np.float64), maps, floor)
    return ErrorBar(LEVEL, len(chosen.errors), 1.0, exponents, floor)


def calibrated_map(bar: ErrorBar, held: Sized, level: float = LEVEL) -> ErrorBar:
    """The bar with the quantile of conformal risk control on signals that nothing else has seen: ``(sum_i missed_i + 1)
    / (N + 1) <= 1 - level``, missed_i the share of samples of signal i outside of their bars. Then a share of at least
    ``level`` of the samples of a signal exchangeable with these is within theirs, on average.

    Source: Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal risk control", ICLR 2024, theorem 1. Infinite where N
    is too small.

    Example:
        >>> bar = ErrorBar(0.5, 2, 1.0, {}, 1e-7)
        >>> calibrated_map(bar, Sized(np.arange(1.0, 13.0).reshape(3, 4), {}), 0.5).quantile  # 4 of 12 may be missed
        8.0
    """
    scores = held.scores(bar)
    signals, n = scores.shape
    missed = math.floor(n * ((1 - level) * (signals + 1) - 1) + 1e-9)
    index = scores.size - 1 - missed
    quantile = math.inf if missed < 0 else float(np.partition(scores, index, axis=None)[index])
    return replace(bar, level=level, signals=signals, quantile=rounded_up(quantile))


@theorem(
    "prediction",
    "error bars cover 90 % of the samples of a signal",
    "coverage of samples",
    on=HeldOut,
    examine=lambda at: H2p(at),
    certainty="probable",
    meaning="error bars of pixels hold for {bound:.0%} of them; the typical error is {tightness:.2f} of its bar",
)
def H2p(held: HeldOut, level: float = LEVEL) -> Report:
    """Error bars of samples: ``|x^_i - x*_i| <= q s_i(y)`` for a share of at least ``level`` of the samples of a
    signal, on average over signals and calibrations. Exponents of the maps in s are chosen on validation signals, q by
    conformal risk control on the first half of the held-out signals, and coverage is measured on the second.

    Violated where it is below ``level`` by more than 4 standard errors of both halves. ``tightness`` is the median of
    error over bar. Signals of another distribution can break it.
    """
    assumptions = {EXCHANGEABLE: True, GRID: held.net.signal_shape is not None}
    if not assumptions[GRID]:
        return not_applicable("H2p", assumptions)
    seen = local(held.net, *held.chosen)
    bar = fitted_map(seen, held.chosen[1])
    bar = calibrated_map(bar, local(held.net, held.x[held.first], held.y[held.first]), level)
    second = local(held.net, held.x[held.second], held.y[held.second])
    scores = second.scores(bar) / bar.quantile
    coverage = np.mean(scores <= 1, axis=1)
    report = lower_bound("H2p", level, None, 0.0, assumptions | usable(bar))
    measured = float(np.mean(coverage))
    if report.bound is None:
        return replace(report, measured=measured)
    error = float(np.std(coverage)) * math.sqrt(1 / len(coverage) + 1 / bar.signals)
    status = "violated" if measured < level - _UNLIKELY * error else "holds"
    return replace(report, status=status, measured=measured, tightness=float(np.median(scores)))


@jax.jit
def _local_sizes(net: Network, y: Array) -> tuple[Array, dict[str, Array]]:
    step, found = local_sizes(net, y)
    return step.x, found
