"""H3 to H5: tolerance limits for networks without a normal form: moved measurements, bit errors, the last layer."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.theory.prediction.bit_errors import FITS, fits, with_sign_errors
from unrollbit.theory.prediction.certificates import FRESH, checked, enough, largest_share, tolerance_limit
from unrollbit.theory.prediction.held_out import HeldOut
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound

_MADE, _CHECKED = 60, 30  # pairs of a signal and errors, each of which costs a network of its own: 95 % of them
KEPT = "the change of y is not lost to rounding in float32"
LAYERS = "the network has an estimate per layer"


@theorem(
    "stability",
    "nearly all signals amplify a random change of y by at most this",
    "amplification",
    on=HeldOut,
    examine=lambda at: H3(at),
    certainty="probable",
    meaning="{share:.0%} of random changes of y are amplified less than {bound:.3g} times",
)
def H3(held: HeldOut) -> Report:
    """Tolerance limit of ``||f(y + d) - f(y)|| / ||d||`` for a random direction d of norm ``radius`` times the root
    mean square of ||y||: 99 % of signals and directions (fewer of a small sample: see ``H1``) are below it, with
    confidence ``1 - delta``.

    Of random changes, not of the worst: an attack may do more. For every network; checked as ``H1``. Vacuous from
    the median of ``||f(y)|| / ||d||``, a change by the whole estimate.
    """
    moved, size = held.moved
    near, far = np.asarray(held.y, np.float32), moved.astype(np.float32)  # what float32 makes of them was measured
    before, after = _estimates(held.net, near), _estimates(held.net, far)
    distances = np.linalg.norm(far.astype(np.float64) - near, axis=1)
    if not distances.all():
        return not_applicable("H3", {FRESH: True, KEPT: False})
    values = np.linalg.norm(after - before, axis=1) / distances
    trivial = float(np.median(np.linalg.norm(before, axis=1)) / size)
    return _limited("H3", held, values, len(values[held.first]), trivial, {FRESH: True, KEPT: True})


@theorem(
    "sensitivity",
    "nearly all signals are changed by random bit errors by at most this",
    "relative change",
    on=HeldOut,
    examine=lambda at: H4(at),
    certainty="probable",
    meaning="random bit errors change {share:.0%} of estimates by less than {bound:.2%}",
)
def H4(held: HeldOut) -> Report:
    """Tolerance limit of ``||f^(y) - f(y)|| / ||f(y)||`` where every sign of the maps flips with probability
    ``rate``, in each matrix that is stored: 95 % of signals and errors (fewer of a small sample: see ``H1``) are below
    it, with confidence ``1 - delta``.

    Each of 60 signals has errors of its own, 30 more check. For every network. Vacuous from 1.
    """
    net, rate = held.net, held.settings.rate
    assumptions = {FRESH: True, FITS: fits(net, 1)}
    if not assumptions[FITS]:
        return not_applicable("H4", assumptions)
    count = min(_MADE + _CHECKED, len(held.y))
    y = np.asarray(held.y[:count], np.float32)
    clean, values = _estimates(net, y), np.empty(count)
    for i in range(count):
        wrong = with_sign_errors(net, rate, held.settings.seeded(i), shared=True)
        values[i] = np.linalg.norm(_estimates(wrong, y[i : i + 1])[0] - clean[i])
    values /= np.maximum(np.linalg.norm(clean, axis=1), np.finfo(np.float32).tiny)
    return _limited("H4", held, values, min(_MADE, 2 * count // 3), 1.0, assumptions)


@theorem(
    "convergence",
    "nearly all estimates move by at most this in the last layer",
    "relative change",
    on=HeldOut,
    examine=lambda at: H5(at),
    certainty="probable",
    meaning="the last layer changes {share:.0%} of estimates by less than {bound:.2g} of their size",
)
def H5(held: HeldOut) -> Report:
    """Tolerance limit of ``||x_K - x_{K-1}|| / ||x*||``: 99 % of signals (fewer of a small sample: see ``H1``) are
    below it, with confidence ``1 - delta``.

    A network that has settled gains nothing from more layers of its kind. For every network with an estimate per layer;
    checked as ``H1``. Vacuous from 1.
    """
    change = held.sizes.sizes.get("change")
    if change is None:
        return not_applicable("H5", {FRESH: True, LAYERS: False})
    values = change / np.linalg.norm(np.asarray(held.x, np.float64), axis=1)
    return _limited("H5", held, values, len(values[held.first]), 1.0, {FRESH: True, LAYERS: True})


def _limited(
    name: str,
    held: HeldOut,
    values: Float[np.ndarray, " N"],
    made: int,
    trivial: float,
    assumptions: dict[str, bool],
) -> Report:
    """The tolerance limit of the first values, checked on the others."""
    values, confidence = np.where(np.isnan(values), np.inf, values), 1 - held.settings.delta
    share, fresh = largest_share(made, confidence), values[made:]
    bound = tolerance_limit(values[:made], share, confidence)
    report = replace(upper_bound(name, bound, None, trivial, assumptions | enough(made, confidence)), share=share)
    measured = float(np.quantile(fresh, share))
    if report.bound is None:
        return replace(report, measured=measured)
    tightness = measured / bound if bound > 0 else 1.0
    return checked(report, measured, int(np.sum(~(fresh <= bound))), len(fresh), 1 - share, tightness)


def _estimates(net: Network, y: Float[np.ndarray, "N m"]) -> Float[np.ndarray, "N n"]:
    size = max(1, 2**21 // max(net.operator.shape))
    parts = [np.asarray(_forward(net, jnp.asarray(y[i : i + size])), np.float64) for i in range(0, len(y), size)]
    return np.concatenate(parts)


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y)
