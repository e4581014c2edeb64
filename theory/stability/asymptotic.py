"""A lower bound of the global Lipschitz constant: thresholds are negligible for large inputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, exceeds, lower_bound, not_applicable
from unrollbit.theory.stability.differences import SOFT, checked_points, quotient_sizes, quotients
from unrollbit.theory.stability.instance import Moved
from unrollbit.theory.stability.lipschitz import half_linearised_constants
from unrollbit.theory.trajectory import asymptotic_jacobian

_SLACK = 1e-3  # share of J_lin that thresholds may still take away at the far point
_FARTHEST = 1e150  # in units of the thresholds and measurements
_LARGEST = 2.0**1023


@theorem(
    "stability",
    "lower bound from large inputs",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S2(at.form, at.y, at.others),
    meaning="some change of y is amplified at least {bound:.3g} times",
)
def S2(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]) -> Report:
    """Asymptotic-linear lower bound: ``Lip(f) >= J_lin = ||J||``, J the Jacobian of the network without thresholds.

    ``J_0 = 0``, ``J_{k+1} = H_k J_k + G_k`` for all forms. Proof: ``|S_t(u) - u| <= t``, so by the argument of S1
    ``||f(y) - J y|| <= b_K`` for every y, where ``b_0 = 0`` and ``b_{k+1} = ||H_k|| b_k + sqrt(n) theta_k``; for ADMM
    the last term is ``||2 H_k - I|| sqrt(n) theta_k``, and the output adds ``sqrt(n) theta_K``. Hence for every pair::

        ||f(y) - f(y')|| / ||y - y'|| >= (||J (y - y')|| - 2 b_K) / ||y - y'||

    and the right-hand side tends to ``J_lin`` for far pairs along the top right singular vector of J.

    No experiment measures ``Lip(f)``. ``measured`` is the certified upper bound S1h, so that the report is the sandwich
    ``J_lin <= Lip(f) <= S1h`` (``gd``: equalities). The inequality above is checked too, for every
    pair of ``pair_floors``; either one failing makes the theorem violated. Vacuous only if ``J_lin = 0``.

    Raises:
        ValueError: wrong shapes, entries that are not finite, or no other point than y.
    """
    y, others = checked_points(form, y, others)
    upper = float(half_linearised_constants(form)[-1])
    if not form.soft:
        return not_applicable("S2", {SOFT: False}, upper)
    J_lin = float(spectral_norm(asymptotic_jacobian(form)))
    size = float(quotient_sizes(form, y, others)[-1])
    report = lower_bound("S2", J_lin, upper, 0.0, {SOFT: True}, size=size)
    floors, found = pair_floors(form, y, others)
    size = max(J_lin, float(found.max()))  # of what is subtracted for the floor and for the quotient
    failed = any(exceeds(float(floor), float(value), size) for floor, value in zip(floors, found, strict=True))
    return replace(report, status="violated") if failed else report


def pair_floors(
    form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]
) -> tuple[Float[np.ndarray, " pairs"], Float[np.ndarray, " pairs"]]:
    """Lower bounds ``(||J (y - y')|| - 2 b_K) / ||y - y'||`` and measured quotients of the pairs (y, y').

    y' are ``others`` without y itself and, as the last one, a point so far along the top right singular vector of J
    that the bound is 0.999 J_lin. Measurements and thresholds are taken in units of the largest of them: scaling both
    changes no quotient, and the far point stays within float64 whatever the thresholds are.
    """
    J = asymptotic_jacobian(form)
    unit = float(max(form.theta.max() if form.form != "gd" else 0.0, np.abs(y).max(), np.abs(others).max()))
    unit = 2.0 ** np.frexp(unit)[1] if unit < _LARGEST else _LARGEST
    small = replace(form, theta=form.theta / unit)
    J_lin, b = float(spectral_norm(J)), threshold_effect(form, unit)
    far = max(2 * b / (_SLACK * J_lin) if J_lin > 0 else 0.0, float(norms(y / unit)) or 1.0)
    centre = y / unit
    points = np.concatenate([others / unit, [centre + min(far, _FARTHEST) * np.linalg.svd(J)[2][0]]])
    distance = norms(points - centre)
    kept = distance > 0
    with np.errstate(over="ignore"):  # a floor of minus infinity for points that are too near to say anything
        floors = (norms((points - centre) @ J.T) - 2 * b)[kept] / distance[kept]
    return floors, quotients(small, centre, points)[-1][kept]


def threshold_effect(form: NormalForm, unit: float = 1.0) -> float:
    """``b_K``: how far thresholds move the output of any input at most, in units of ``unit``."""
    root, b = np.sqrt(form.A.shape[1]), 0.0
    if form.form == "gd":
        return b
    theta = form.theta / unit
    for k in range(form.depth):
        inner = form.reflected_norms[k] if form.form == "admm" else 1.0
        b = form.H_norms[k] * b + inner * root * theta[k]
    return float(b + (root * theta[-1] if form.form == "admm" else 0.0))
