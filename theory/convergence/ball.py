"""Balls around reference solutions: C4 (proximal gradient, the Lasso solution) and C5 (ADMM, its fixed point)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from unrollbit.theory.convergence.instance import SOFT, full_column_rank, measurement
from unrollbit.theory.convergence.lasso import Lasso, admm_fixed_point, solve_lasso
from unrollbit.theory.instances import Attacked
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.trajectory import Trajectory, run

_SOLVED = "the reference solution is found to 1e-12"
_SHARES = np.array([0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5])  # of a0_k, tried for a_k
_RHOS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of ||A||^2


@theorem(
    "convergence",
    "ball around the Lasso solution",
    "distance to the solution",
    on=Attacked,
    examine=lambda at: C4(at.form, at.y),
    meaning="the estimate is within {bound:.3g} of the Lasso solution",
)
def C4(form: NormalForm, y: Float[np.ndarray, " m"], tau: float | None = None) -> Report:
    """A layer is an exact proximal gradient step plus an error: ``||x_k - x°|| <= E_k`` around the Lasso solution x°.

    ``E_{k+1} = ||H_k|| E_k + eps_k``, ``E_0 = ||x°||``, with ``r° = y - A x°`` and any ``a_k > 0`` ::

        eps_k = ||(G_k^T - a_k A)^T r°|| + sqrt(n) |theta_k - a_k tau|

    least over seven multiples of ``a0_k = <G_k^T, A> / ||A||_F^2``. Gradient descent takes ``tau = 0``: x° is the least
    squares solution. Default tau: the median of ``theta_k / a0_k``. Vacuous against ``||x°||``. Raises ``ValueError``
    for wrong shapes and ``tau < 0``.

    Proof: ``x° = S_{a tau}(x° + a A^T r°)``, and the soft threshold is nonexpansive.

    Source: C4. Inexact proximal gradients: M. Schmidt, N. Le Roux and F. Bach, 2011.
    """
    y = measurement("C4", form, y)
    assumptions, prepared = _prepare(form, y, tau)
    if prepared is None:
        return not_applicable("C4", assumptions)
    solution, tau, scales = prepared
    eps = _errors(form, solution, tau, scales)
    E = [float(norms(solution.x))]
    for k in range(form.depth):
        E.append(float(form.H_norms[k] * E[k] + eps[k]))
    path = run(form, y)
    errors, size = norms(path.x - solution.x), np.maximum(path.sizes(), E[0])
    return upper_bound("C4", E[-1], errors[-1], E[0], assumptions, size=size, bounds=E, measurements=errors)


def inexact_ball(form: NormalForm, y: Float[np.ndarray, " m"], tau: float | None = None) -> tuple[float, float] | None:
    """Rate ``h = max ||H_k||`` and radius ``max eps_k / (1 - h)`` of C4: ``||x_K - x°|| <= h^K ||x°|| + radius``.

    None where C4 is not applicable or ``h >= 1``. Raises as ``C4``.
    """
    _, prepared = _prepare(form, measurement("C4", form, y), tau)
    rate = float(form.H_norms.max())
    if prepared is None or rate >= 1:
        return None
    solution, tau, scales = prepared
    return rate, float(_errors(form, solution, tau, scales).max()) / (1 - rate)


def admm_grid(form: NormalForm) -> tuple[tuple[float, float], ...]:
    """Pairs ``(rho, tau)`` that C5 tries: rho around ``||A||^2``, ``tau / rho`` the median threshold of the network.

    Empty where that threshold or A is 0.
    """
    size, threshold = float(spectral_norm(form.A)) ** 2, float(np.median(form.theta))
    pairs = ((share * size, share * size * threshold) for share in _RHOS)
    return tuple(pair for pair in pairs if min(pair) > 0)


@theorem(
    "convergence",
    "one-bit ADMM, ball around the Lasso solution",
    "distance to the solution",
    on=Attacked,
    examine=lambda at: C5(at.form, at.y),
    meaning="the estimate is within {bound:.3g} of the Lasso solution",
)
def C5(form: NormalForm, y: Float[np.ndarray, " m"], grid: Sequence[tuple[float, float]] | None = None) -> Report:
    """Distance of ADMM with any linear step from the Lasso solution z°, at every layer::

        ||z_k - z°|| <= E_k + sqrt(n) |theta_k - tau / rho|

    For ``rho, tau > 0`` exact ADMM has ``H° = rho (A^T A + rho I)^{-1}``, ``G° = (A^T A + rho I)^{-1} A^T``, threshold
    ``tau / rho`` and the fixed point v°; ``q° = 2 z° - v°``, ``E_0 = ||v°||`` and ::

        E_{k+1} = c_k E_k + ||(H_k - H°) q° + (G_k - G°) y|| + ||2 H_k - I|| sqrt(n) |theta_k - tau / rho|

    with the ADMM factor ``c_k = (1 + ||2 H_k - I||) / 2``. Any pair is valid: the report is that of the pair of the
    ``grid`` (default ``admm_grid``) of least bound relative to ``||z°||``, or of one that is violated. Vacuous against
    ``||z°||``, as for every wide A, where ``c_k >= 1``. Raises ``ValueError`` for wrong shapes, and pairs that are not
    positive.

    Source: C5. ADMM as a fixed-point iteration: D. Gabay, 1983; J. Eckstein and D. Bertsekas, 1992.
    """
    y = measurement("C5", form, y)
    assumptions = {"the network is ADMM": form.form == "admm", SOFT: form.soft}
    if not all(assumptions.values()):
        return not_applicable("C5", assumptions)
    pairs = admm_grid(form) if grid is None else tuple(grid)
    if any(not (rho > 0 and tau > 0) for rho, tau in pairs):
        raise ValueError(f"C5 grid: expected pairs (rho, tau) of positive numbers, got {pairs}")
    assumptions["some pair rho, tau > 0 to refer to"] = bool(pairs)
    if not pairs:
        return not_applicable("C5", assumptions)
    path = run(form, y)
    reports = [_around(form, y, path, rho, tau, dict(assumptions)) for rho, tau in pairs]
    for report in reports:
        if report.status == "violated":
            return report
    known = [report for report in reports if report.bound is not None and report.bounds is not None]
    return min(known, key=_relative) if known else reports[0]


def _relative(report: Report) -> float:
    """bound / ``||z°||``; 0 / 0 where the network is at rest too."""
    assert report.bound is not None
    return report.bound / report.trivial if report.trivial else np.inf * (report.bound > 0)


def _around(
    form: NormalForm, y: np.ndarray, path: Trajectory, rho: float, tau: float, assumptions: dict[str, bool]
) -> Report:
    solution = solve_lasso(form.A, y, tau)
    assumptions[_SOLVED] = solution.solved
    v, q = admm_fixed_point(form.A, solution, rho)
    drive = norms(form.H @ q + form.G @ y - solution.x)  # at rest H° q° + G° y = z°
    gaps = np.sqrt(len(v)) * np.abs(form.theta - tau / rho)
    E = [float(norms(v))]
    for k in range(form.depth):
        E.append(float(form.factors[k] * E[k] + drive[k] + form.reflected_norms[k] * gaps[k]))
    limits, errors = np.array(E) + gaps, norms(path.x - solution.x)
    trivial = float(norms(solution.x))
    size = np.maximum(path.sizes(), max(trivial, E[0]))
    return upper_bound(
        "C5", limits[-1], errors[-1], trivial, assumptions, size=size, bounds=limits, measurements=errors
    )


_Prepared = tuple[Lasso, float, Float[np.ndarray, " K"]]


def _prepare(form: NormalForm, y: np.ndarray, tau: float | None) -> tuple[dict[str, bool], _Prepared | None]:
    """The assumptions of C4; reference solution, tau and a0_k, or None where it is not applicable."""
    if tau is not None and not tau >= 0:
        raise ValueError(f"C4 tau: expected >= 0, got {tau}")
    scales = (form.G.swapaxes(1, 2) * form.A).sum((1, 2)) / (float((form.A**2).sum()) or 1.0)
    assumptions = {
        "the network is ISTA or gradient descent": form.form in ("ista", "gd"),
        SOFT: form.soft,
        "<G_k^T, A> > 0 for every k": bool((scales > 0).all()),
    }
    if not all(assumptions.values()):
        return assumptions, None
    if form.form == "gd":
        tau = 0.0 if tau is None else tau
        assumptions["tau = 0 without a shrinkage"] = tau == 0
        assumptions["A has full column rank"] = full_column_rank(form.A)
    else:
        tau = float(np.median(form.theta / scales)) if tau is None else tau
        assumptions["tau > 0"] = tau > 0
    if not all(assumptions.values()):
        return assumptions, None
    solution = solve_lasso(form.A, y, tau)
    assumptions[_SOLVED] = solution.solved
    return assumptions, (solution, tau, scales) if solution.solved else None


def _errors(form: NormalForm, solution: Lasso, tau: float, scales: np.ndarray) -> np.ndarray:
    """eps_k, least over the multiples of a0_k."""
    a = scales[:, None] * _SHARES
    theta = np.zeros(form.depth) if form.form == "gd" else form.theta
    step = form.G @ solution.residual
    wrong = norms(step[:, None] - a[..., None] * (form.A.T @ solution.residual))
    return (wrong + np.sqrt(form.A.shape[1]) * np.abs(theta[:, None] - a * tau)).min(1)
