"""O1: how accurate any estimator can be, where the distribution of the unknowns is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import expit

from unrollbit.problems import Problem
from unrollbit.theory.prediction.conditions import NOISE, like_independent_noise, spectrum_of
from unrollbit.theory.prediction.held_out import HeldOut
from unrollbit.theory.prediction.layers import WITHIN
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, lower_bound, not_applicable

_SUPPORTS = 200
_LARGEST = 2**23  # entries of A as floats
_GRID = np.linspace(-12, 12, 24_001)  # standard deviations
_STEPS = 10_000
_ROUNDING = 64 * float(np.finfo(np.float32).eps)  # of measurements, relative
KNOWN = "the unknowns are Bernoulli-Gaussian, of a known share and variance"
NOISY = "there is noise: without it the bound is zero"
SMALL = "A is small enough to be factorised"


@dataclass(frozen=True)
class Limit:
    """NMSE (ratio) of the Bayes-optimal estimator of infinitely many unknowns. ``attained`` is what AMP reaches in many
    iterations, ``nmse`` the smallest fixed point, below which no estimator is: the two agree where there is only one.
    """

    nmse: float
    attained: float


def genie_bound(
    A: Float[np.ndarray, "m n"],
    share: float,
    noise: float,
    *,
    variance: float = 1.0,
    draws: int = _SUPPORTS,
    seed: int = 0,
) -> float:
    """A lower bound of the NMSE of every estimator: that of one who is told the support S of x::

        E tr(I / v + A_S^T A_S / sigma^2)^{-1} / (n p v)

    for unknowns that are N(0, v) with probability p and 0 otherwise, and Gaussian noise of variance sigma^2. At finite
    m and n, for any A, exact but for the mean over ``draws`` supports. Raises ``ValueError`` for numbers out of range.

    Example:
        >>> round(genie_bound(np.eye(4), 0.5, 1.0), 3)  # every non-zero by itself: v sigma^2 / (v + sigma^2)
        0.5
    """
    A = np.asarray(A, np.float64)
    if A.ndim != 2 or not (0 < share <= 1 and noise > 0 and variance > 0):
        raise ValueError(f"genie_bound: expected A (m, n), 0 < share <= 1, noise, variance > 0; got {share}, {noise}")
    n, random = A.shape[1], np.random.RandomState(seed)
    gram = A.T @ A / noise
    traces, sizes = [], []
    for _ in range(draws if share < 1 else 1):
        support = np.flatnonzero(random.random_sample(n) < share)
        inner = gram[np.ix_(support, support)] + np.eye(len(support)) / variance
        traces.append(float(np.sum(1 / np.linalg.eigvalsh(inner))))
        sizes.append(len(support))
    return float(np.sum(traces) / max(1, np.sum(sizes)) / variance)


def posterior_mean_error(share: float, variance: float, level: float) -> float:
    """The least mean square error of x from ``x + sqrt(level) z`` for Bernoulli-Gaussian x and standard normal z."""
    wide, narrow = math.sqrt(variance + level), math.sqrt(level)
    wiener = variance / (variance + level)
    total = 0.0
    for weight, spread in ((share, wide), (1 - share, narrow)):  # u given that x is no zero, and that it is
        if weight == 0:
            continue
        u = spread * _GRID
        density = np.exp(-(_GRID**2) / 2) / math.sqrt(2 * math.pi) * (_GRID[1] - _GRID[0])
        odds = math.log(share) - math.log1p(-share) if share < 1 else math.inf
        q = expit(odds - math.log(wide / narrow) + u**2 / 2 * (1 / level - 1 / wide**2))
        total += weight * float(density @ (q * (wiener * level + (1 - q) * (wiener * u) ** 2)))
    return total


def bayes_limit(share: float, ratio: float, noise: float, *, variance: float = 1.0, scale: float = 1.0) -> Limit:
    """Fixed points of ``tau^2 = sigma^2 + (n/m) mmse(tau^2)``: the limit of infinitely many unknowns at m / n =
    ``ratio``, for independent entries of A of variance ``scale^2 / m``.

    Sources: Reeves, Pfister, IEEE Trans. Inf. Theory 65 (2019); Barbier, Dia, Macris, Krzakala, Allerton 2016. Raises
    ``ValueError`` for numbers out of range.

    Example:
        >>> limit = bayes_limit(1.0, 1.0, 0.5)  # Gaussian unknowns: tau^2 = 1/2 + tau^2 / (1 + tau^2), tau^2 = 1
        >>> round(limit.nmse, 6), round(limit.attained, 6)
        (0.5, 0.5)
    """
    if not (0 < share <= 1 and ratio > 0 and noise > 0 and variance > 0 and scale > 0):
        raise ValueError(f"bayes_limit: expected numbers above 0 and share <= 1; got {share}, {ratio}, {noise}")
    floor = noise / scale**2
    ends = [_fixed_point(share, variance, ratio, floor, start) for start in (floor, floor + share * variance / ratio)]
    low, high = (posterior_mean_error(share, variance, level) / (share * variance) for level in ends)
    return Limit(low, high)


def _fixed_point(share: float, variance: float, ratio: float, floor: float, level: float) -> float:
    for _ in range(_STEPS):
        following = floor + posterior_mean_error(share, variance, level) / ratio
        if abs(following - level) <= 1e-9 * level:
            return following
        level = following
    return level


def optimum_db(problem: Problem, x: Float[ArrayLike, "N n"], y: Float[ArrayLike, "N m"]) -> dict[str, float]:
    """``genie bound`` and ``Bayes limit`` of a problem in dB (NMSE, ratio), from the noise that signals show; none
    without noise and where the law of the unknowns is not known, the limit only for independent entries of A.
    """
    A, (_, level, heard) = problem.operator, _noise(problem, x, y)
    if problem.bernoulli_gaussian is None or not heard:
        return {}
    found = {}
    if math.prod(A.shape) <= _LARGEST:
        found["genie bound"] = _genie(problem, level)
    if all(spectrum_of(A).conditions().values()):
        found["Bayes limit"] = _limit(problem, level)
    return {name: 10 * math.log10(value) for name, value in found.items()}


@theorem(
    "prediction",
    "no estimator is below the genie bound",
    "NMSE in dB",
    on=HeldOut,
    examine=lambda at: O1(at),
    certainty="probable",
    meaning="no method at all is below {bound:.1f} dB; this network is at {measured:.1f}",
)
def O1(held: HeldOut) -> Report:
    """The NMSE of the network (ratio of sums) beside a lower bound for every estimator, ``genie_bound``; violated where
    the network is below by more than three standard errors of its mean error. ``tightness`` is the ratio of the error
    norms: 1 is the optimum. Takes the level of the noise as given.
    """
    level, assumptions = _setting(held)
    assumptions |= {SMALL: math.prod(held.net.operator.shape) <= _LARGEST}
    if not all(assumptions.values()):
        return not_applicable("O1", assumptions)
    return _beside("O1", held, _genie(held.problem, level, held.settings.seed), assumptions, 0.0)


@theorem(
    "prediction",
    "no estimator of infinitely many unknowns is below the Bayes limit",
    "NMSE in dB",
    on=HeldOut,
    examine=lambda at: O1b(at),
    certainty="limit",
    meaning="of many unknowns, no method is below {bound:.1f} dB; this network is at {measured:.1f}",
)
def O1b(held: HeldOut) -> Report:
    """The NMSE of the network (ratio of sums) beside the limit of the Bayes-optimal estimator for infinitely many
    unknowns, ``bayes_limit``; violated where the network is below by more than 1 dB. ``tightness`` as in ``O1``: what
    is missing to 1 is all that any other network could add.
    """
    level, assumptions = _setting(held)
    assumptions |= spectrum_of(held.problem.operator).conditions()
    if not all(assumptions.values()):
        return not_applicable("O1b", assumptions)
    return _beside("O1b", held, _limit(held.problem, level), assumptions, WITHIN)


def _noise(
    problem: Problem, x: Float[ArrayLike, "N n"], y: Float[ArrayLike, "N m"]
) -> tuple[Float[np.ndarray, "N m"], float, bool]:
    """Noise of measurements by the problem's own physics, its variance, and whether it is more than rounding."""
    y = np.asarray(y, np.float64)
    noise = y - np.asarray(problem.operator(jnp.asarray(x)), np.float64)
    level = float(np.mean(noise**2))
    return noise, level, level > float(np.mean((y - noise) ** 2)) * _ROUNDING**2


def _genie(problem: Problem, level: float, seed: int = 0) -> float:
    assert problem.bernoulli_gaussian is not None
    share, variance = problem.bernoulli_gaussian
    A = np.asarray(problem.operator.dense(), np.float64)
    return genie_bound(A, share, level, variance=variance, seed=seed)


def _limit(problem: Problem, level: float) -> float:
    assert problem.bernoulli_gaussian is not None
    share, variance = problem.bernoulli_gaussian
    A = problem.operator
    return bayes_limit(share, A.shape[0] / A.shape[1], level, variance=variance, scale=float(A.column_rms())).nmse


def _setting(held: HeldOut) -> tuple[float, dict[str, bool]]:
    """The variance of the noise, and what the bounds need to know."""
    noise, level, heard = _noise(held.problem, held.x, held.y)
    return level, {
        KNOWN: held.problem.bernoulli_gaussian is not None,
        NOISY: heard,
        NOISE: like_independent_noise(held.y - noise, noise),
    }


def _beside(name: str, held: HeldOut, bound: float, assumptions: dict[str, bool], slack_db: float) -> Report:
    energies = np.sum(np.asarray(held.x, np.float64) ** 2, axis=1)
    errors = held.nmse[-1] * energies
    mean, energy = float(errors.mean()), float(energies.mean())
    highest = mean + 3 * float(errors.std(ddof=1)) / math.sqrt(len(errors))
    bound_db, measured, upper = (10 * math.log10(value) for value in (bound, mean / energy, highest / energy))
    report = lower_bound(name, bound_db, upper + slack_db, -math.inf, assumptions)
    return replace(report, measured=measured, tightness=10 ** ((bound_db - measured) / 20))
