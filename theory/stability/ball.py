"""Certified Lipschitz constant on a ball of inputs, from the support pattern of its centre."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, norms, restricted_norm, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.stability.differences import SOFT, checked_points, quotient_sizes, quotients, trivial_constant
from unrollbit.theory.stability.instance import Moved
from unrollbit.theory.stability.lipschitz import half_linearised_constants
from unrollbit.theory.trajectory import jacobians, run

INSIDE = "all measurements lie in the ball"


@theorem(
    "stability",
    "local Lipschitz constant from the support pattern",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S3(at.form, at.y, at.others, at.radius),
    meaning="near these signals, no change of y is amplified more than {bound:.3g} times",
)
def S3(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"], radius: float) -> Report:
    """Certified local Lipschitz constant: ``||f(a) - f(b)|| <= L ||a - b||`` for all a, b in the ball of the radius
    around y.

    Coordinates whose pre-activation provably stays in one branch of the soft threshold over the ball are frozen: their
    derivative is 0 or 1 for every pair; the others are treated as in S1h. See ``ball_constants``. Never above S1h.

    The measurement is the largest of the quotients of pairs (y, y') and of successive ``others``, and of the norms of
    the Jacobian at y and at the y' of the largest quotient.

    Raises:
        ValueError: wrong shapes, entries that are not finite, no other point than y, or a radius that is not positive.
    """
    y, others = checked_points(form, y, others)
    radius = _checked_radii([radius])[0]
    distance = float(norms(others - y).max())
    assumptions = {SOFT: form.soft, INSIDE: bool(at_most(distance, radius, float(norms(y))))}
    from_centre = quotients(form, y, others)[-1]
    if not form.soft:
        return not_applicable("S3", assumptions, from_centre.max())
    between = quotients(form, others[:-1], others[1:])[-1] if len(others) > 1 else from_centre
    slopes = spectral_norm(np.stack([jacobians(form, at)[-1] for at in (y, others[from_centre.argmax()])]))
    measured = max(from_centre.max(), between.max(), slopes.max())
    bound = ball_constants(form, y, [max(radius, distance) if assumptions[INSIDE] else radius])[0]
    size = max(quotient_sizes(form, y, others)[-1], quotient_sizes(form, others[:-1], others[1:])[-1])
    return upper_bound("S3", bound, measured, trivial_constant(form, y, others), assumptions, size=size)


def ball_constants(
    form: NormalForm, y: Float[np.ndarray, " m"], radii: Float[np.ndarray, " R"] | list[float]
) -> Float[np.ndarray, " R"]:
    """The certified Lipschitz constant of S3 on the balls of several radii around y.

    The recursion alone is not monotone in the radius; a constant of a ball holds in every smaller one, so each value is
    the least over the radii given that are not smaller. Raises ``ValueError`` for another shrinkage than the soft
    threshold and for radii that are not positive.
    """
    if not form.soft:
        raise ValueError("ball_constants: expected the soft threshold")
    radii = _checked_radii(radii)
    u, ceiling = run(form, y).u, half_linearised_constants(form)[-1]
    constant = _admm_constant if form.form == "admm" else _proximal_constant
    values = np.array([min(constant(form, u, radius), ceiling) for radius in radii])
    return np.array([values[radii >= radius].min() for radius in radii])


def _checked_radii(radii: Float[np.ndarray, " R"] | list[float]) -> Float[np.ndarray, " R"]:
    found = np.asarray(radii, np.float64)
    if found.ndim != 1 or not ((found > 0) & np.isfinite(found)).all():
        raise ValueError(f"expected positive finite radii, got {radii}")
    return found


def _proximal_constant(form: NormalForm, u: Float[np.ndarray, "K n"], radius: float) -> float:
    """Estimates differ by ``J dy`` up to ``eta ||dy||``, by at most ``L ||dy||``, and on ``active`` only."""
    m, n = form.A.shape
    J, eta, L, active = np.zeros((n, m)), 0.0, 0.0, np.zeros(n, bool)
    for k, (H, G) in enumerate(zip(form.H, form.G, strict=True)):
        U = H @ J + G
        rows = norms(H[:, active])
        reach = radius * np.minimum(norms(U) + rows * eta, rows * L + norms(G))
        off, on = _branches(form, u[k], reach, k)
        uncertain = ~(off | on)
        D = np.where(off, 0.0, np.where(on, 1.0, 0.5))[:, None]
        spread = 0.5 * (spectral_norm(U[uncertain]) + restricted_norm(H, uncertain, active) * eta)
        eta = restricted_norm(D * H, ~off, active) * eta + spread
        J = D * U
        L = min(restricted_norm(H, ~off, active) * L + spectral_norm(G[~off]), spectral_norm(J) + eta)
        active = ~off
    return float(L)


def _admm_constant(form: NormalForm, v: Float[np.ndarray, "K_plus_1 n"], radius: float) -> float:
    """The same for the states of ADMM, whose thresholds act on the state itself."""
    m, n = form.A.shape
    half = np.eye(n) / 2
    J, eta, L = np.zeros((n, m)), 0.0, 0.0
    for k, (H, G) in enumerate(zip(form.H, form.G, strict=True)):
        off, on = _branches(form, v[k], radius * np.minimum(norms(J) + eta, L), k)
        uncertain = ~(off | on)
        T = half + (H - half) * np.where(off, -1.0, np.where(on, 1.0, 0.0))
        certain, spread = spectral_norm(T), spectral_norm((H - half)[:, uncertain])
        eta = certain * eta + spread * (spectral_norm(J[uncertain]) + eta)
        J = T @ J + G
        L = min(min(certain + spread, form.factors[k]) * L + form.G_norms[k], spectral_norm(J) + eta)
    off, on = _branches(form, v[-1], radius * np.minimum(norms(J) + eta, L), form.depth)
    uncertain = ~(off | on)
    D = np.where(off, 0.0, np.where(on, 1.0, 0.5))[:, None]
    if uncertain.any():
        eta = eta + 0.5 * (spectral_norm(J[uncertain]) + eta)
    return float(min(L, spectral_norm(D * J) + eta))


def _branches(form: NormalForm, u: np.ndarray, reach: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which coordinates stay below and which above the threshold wherever ``u`` moves by at most ``reach``."""
    if form.form == "gd":
        return np.zeros(u.shape, bool), np.ones(u.shape, bool)
    return np.abs(u) + reach <= form.theta[k], np.abs(u) - reach >= form.theta[k]
