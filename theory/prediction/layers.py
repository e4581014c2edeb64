"""E1: the accuracy of every layer, predicted from the learned scalars alone."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from unrollbit.networks import Network
from unrollbit.theory.normal_form import measurements as seen_by
from unrollbit.theory.prediction.conditions import (
    CLOSE,
    INDEPENDENT,
    MULTIPLE,
    NOISE,
    like_independent_noise,
    like_independent_unknowns,
    multiples,
    spectrum_of,
)
from unrollbit.theory.prediction.evolution import Evolution, state_evolution
from unrollbit.theory.prediction.held_out import HeldOut, decibels
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable

_DRAWS = 2**18  # scalars: a tenth of a dB
WITHIN = 1.0  # dB, between a prediction and the median of signals
FIRST_ORDER = "the layers are a first-order method with a separable shrinkage"


def predict(
    net: Network,
    x: Float[ArrayLike, "N n"],
    *,
    noise: float = 0.0,
    ratio: float | None = None,
    flips: float = 0.0,
    draws: int = _DRAWS,
    seed: int = 0,
) -> Evolution:
    """State evolution of a network on signals like ``x``, under conditions that it need not have been trained for.

    Args:
        net: a network whose layers are a first-order method (``net.first_order``).
        x: signals; the distribution of their entries is what counts.
        noise: variance of the noise of what the layers see of a measurement.
        ratio: m / n; None: that of the network.
        flips: bit-error rate of W, independent between layers.
        draws: scalars to draw; their number sets the error of the prediction.
        seed: seed of what is drawn.

    Raises ``ValueError`` for a network that is no first-order method or whose shrinkage is not separable.

    Example:
        >>> import jax
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.problems import SparseRecovery
        >>> problem = SparseRecovery(32, 64)
        >>> x, _ = problem.sample(jax.random.key(0), 100)
        >>> predict(Unrolled(AMP(), problem, depth=3), x, draws=1000).nmse_db.shape
        (3,)
    """
    method = net.first_order
    if method is None or not method.shrinkage.separable:
        raise ValueError(f"predict: expected a network of which it holds that {FIRST_ORDER}; this is a {net.method}")
    m, n = net.operator.shape
    entries = np.sort(np.asarray(x, np.float64).ravel())
    rows = -(-draws // n)
    places = (np.arange(rows * n) + 0.5) * (entries.size / (rows * n))  # quantiles: a sample without sampling error
    pool = np.random.RandomState(seed).permutation(entries[places.astype(int)]).reshape(rows, n)
    return state_evolution(
        method,
        pool,
        ratio=m / n if ratio is None else ratio,
        noise=noise,
        scale=float(net.operator.column_rms()),
        gains=multiples(net)[0],
        flips=flips,
        seed=seed,
    )


@theorem(
    "prediction",
    "state evolution: the median NMSE of every layer",
    "NMSE in dB",
    on=HeldOut,
    examine=lambda at: E1(at),
    certainty="limit",
    meaning="known before a signal is measured: {bound:.1f} dB after the last layer",
)
def E1(held: HeldOut) -> Report:
    """NMSE of every layer, predicted by state evolution from the scalars of the network, the distribution of one
    unknown and the variance of the noise, beside the median of the held-out signals: within 1 dB at every layer.

    ``bounds`` are predictions, ``measurements`` medians, in dB; both are reported where an assumption is not met too,
    and show there what that does. A statement about the limit of many unknowns: it can be off at finite sizes, for few
    unknowns more than for many. Vacuous where the prediction is not below 0 dB, the zero estimate.
    """
    return compared("E1", held, assumptions_of(held), held.nmse, 0.0)


def compared(
    name: str, held: HeldOut, assumptions: dict[str, bool], nmse: Float[np.ndarray, "K N"], flips: float
) -> Report:
    """The report of a prediction beside the median of signals."""
    if not assumptions[FIRST_ORDER]:
        return not_applicable(name, assumptions)
    noise = noise_of(held.net, held.x, held.y)
    predicted = predict(held.net, held.x, noise=float(np.mean(noise**2)), flips=flips, seed=held.settings.seed).nmse_db
    measured = np.median(decibels(nmse), axis=1)
    bounds, measurements = tuple(map(float, predicted)), tuple(map(float, measured))
    if not all(assumptions.values()):
        return replace(not_applicable(name, assumptions, measured[-1]), bounds=bounds, measurements=measurements)
    apart = float(np.abs(predicted - measured).max())
    return Report(
        name,
        "holds" if apart <= WITHIN else "violated",
        float(predicted[-1]),
        float(measured[-1]),
        10 ** (-apart / 20),
        assumptions,
        not predicted[-1] < 0,
        bounds,
        measurements,
    )


def assumptions_of(held: HeldOut) -> dict[str, bool]:
    """What state evolution needs, measured."""
    net = held.net
    if (method := net.first_order) is None or not method.shrinkage.separable:
        return {FIRST_ORDER: False}
    seen = np.asarray(seen_by(net, held.y))
    noise = noise_of(net, held.x, held.y)
    return {
        FIRST_ORDER: True,
        **spectrum_of(net.operator).conditions(),
        MULTIPLE: multiples(net)[1] <= CLOSE,
        INDEPENDENT: like_independent_unknowns(held.x),
        NOISE: like_independent_noise(seen - noise, noise),
    }


def noise_of(net: Network, x: Float[ArrayLike, "N n"], y: Float[ArrayLike, "N m"]) -> Float[np.ndarray, "N m"]:
    """``y - A x`` as the layers see it."""
    return seen_by(net, y) - np.asarray(net.operator(jnp.asarray(x, jnp.float32)), np.float64)
