"""The ball around an input on which the network is affine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, exceeds, not_applicable, upper_bound
from unrollbit.theory.stability.differences import (
    SOFT,
    checked_points,
    differences,
    quotient_sizes,
    quotients,
    trivial_constant,
)
from unrollbit.theory.stability.instance import Moved
from unrollbit.theory.trajectory import jacobians, run

_INSIDE = 0.999  # share of the radius of the linear region in which the theorem is measured
_AFFINE = 1e-6  # what a deviation from affine may be of the largest output difference allowed


@theorem(
    "stability",
    "exact linear region",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S4(at.form, at.y, _inside(at)),
    meaning="nearest to them it is linear, and amplifies by at most {bound:.3g}",
)
def S4(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]) -> Report:
    """Exact linear region: within ``rho = linear_region_radius(form, y)`` the network is affine, so its Lipschitz
    constant there is exactly ``||Jac f(y)||``.

    ``others`` are to lie in the region, no farther from y than rho. The bound is ``||Jac f(y)||``, the measurement the
    largest quotient; the theorem is also violated where, for some ``y + a`` of ``others``, ``||f(y + a) - f(y) - Jac
    f(y) a||`` exceeds ``1e-6 ||Jac f(y)||`` times the largest ``||a||``.

    Raises:
        ValueError: wrong shapes, entries that are not finite, or no other point than y.
    """
    y, others = checked_points(form, y, others)
    steps = others - y
    measured = quotients(form, y, others)[-1].max()
    rho = linear_region_radius(form, y) if form.soft else 0.0
    inside = bool(at_most(norms(steps), rho).all())
    assumptions = {SOFT: form.soft, "rho > 0": rho > 0, "no measurements lie farther from y than rho": inside}
    if not all(assumptions.values()):
        return not_applicable("S4", assumptions, measured)
    J = jacobians(form, y)[-1]
    bound = float(spectral_norm(J))
    size = quotient_sizes(form, y, others)[-1]
    report = upper_bound("S4", bound, measured, trivial_constant(form, y, others), assumptions, size=size)
    deviation = norms(differences(form, y, others)[-1] - steps @ J.T).max() / norms(steps).max()
    affine = not exceeds(deviation, _AFFINE * bound, size)
    return report if affine else replace(report, status="violated")


def linear_region_radius(form: NormalForm, y: Float[np.ndarray, " m"]) -> float:
    """``rho``: the smallest ``| |u_i| - theta | / ||row i of the Jacobian of u||`` over all layers and coordinates.

    ``u`` is what the threshold acts on (in ADMM the states, with the threshold of the output). Coordinates that do not
    depend on y do not count; infinity for ``gd``. Proof: by induction over layers, no coordinate changes its branch of
    the threshold inside. Raises ``ValueError`` for another shrinkage than the soft threshold.
    """
    J = jacobians(form, y)[:-1]
    if form.form == "gd":
        return float("inf")
    gaps, slopes = np.abs(np.abs(run(form, y).u) - form.theta[:, None]), norms(J)
    return float(np.min(gaps[slopes > 0] / slopes[slopes > 0], initial=np.inf))


def _inside(at: Moved) -> Float[np.ndarray, "P m"]:
    """Measurements in the region; those of all theorems where it is too small for float64."""
    radius = _INSIDE * linear_region_radius(at.form, at.y) if at.form.soft else at.radius
    near = at.within(min(radius, at.radius)) if radius > 0 else at.others
    return near if (near != at.y).any() else at.others
