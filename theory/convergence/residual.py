"""The error of an estimate read off its residual: theorem C7."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.convergence.instance import measurement, signal
from unrollbit.theory.instances import Signal
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import ROUNDING, at_most, norms, spectral_norm, top_sum
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.trajectory import recover


@theorem(
    "convergence",
    "certificate from the residual",
    "error",
    on=Signal,
    examine=lambda at: C7(at.form, at.x, at.y, float(norms(at.y - at.form.A @ at.x))),
    meaning="from the residual alone: the error is at most {bound:.3g}",
)
def C7(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"], sigma: float) -> Report:
    """``||x_hat - x|| <= (||y - A x_hat|| + sigma) / sqrt(kappa)`` for every network; ``sigma >= ||y - A x||``.

    ``kappa`` is the larger of ``sigma_min(A)^2`` (m >= n) and, with t the size of ``supp(x_hat) u supp(x)``, of
    Gershgorin's ``min_i ((A^T A)_ii - the t - 1 largest |(A^T A)_ij|, j != i)``; it must be above 1e-12 ||A||^2 for
    float64 to tell it from 0. Nothing is asked of weights, thresholds or training. Vacuous against
    ``||x||``. Raises ``ValueError`` for wrong shapes and ``sigma < 0``.

    Source: C7. Gershgorin discs and coherence: D. Donoho and M. Elad, 2003.

    Example:
        >>> A = np.eye(2)
        >>> form = NormalForm.from_arrays("gd", A, A[None], np.array([0.5]))
        >>> report = C7(form, np.array([2.0, 0.0]), np.array([2.0, 0.0]), 0.0)
        >>> report.bound, report.measured
        (1.0, 1.0)
    """
    x, y = signal("C7", form, x), measurement("C7", form, y)
    if not sigma >= 0:
        raise ValueError(f"C7 sigma: expected >= 0, got {sigma}")
    estimate = recover(form, y)
    measured = float(norms(estimate - x))
    kappa = curvature(form.A, int(((x != 0) | (estimate != 0)).sum()))
    seen = form.A @ x
    noise, size = float(norms(y - seen)), max(float(norms(y)), float(norms(seen)))
    assumptions = {
        "sigma >= ||y - A x||": bool(at_most(noise, sigma, size)),
        "A is injective enough on the supports: kappa > 1e-12 ||A||^2": kappa
        > ROUNDING * float(spectral_norm(form.A)) ** 2,
    }
    if not all(assumptions.values()):
        return not_applicable("C7", assumptions, measured)
    # sigma may miss the noise by rounding: the bound is for what was found
    bound = (float(norms(y - form.A @ estimate)) + max(sigma, noise)) / np.sqrt(kappa)
    trivial = float(norms(x))
    return upper_bound("C7", bound, measured, trivial, assumptions, size=max(trivial, float(norms(estimate))))


def curvature(A: Float[np.ndarray, "m n"], t: int) -> float:
    """A lower bound of ``||A d||^2 / ||d||^2`` over all d of at most ``t`` non-zeros; may be negative, and then says
    nothing.
    """
    m, n = A.shape
    gram = A.T @ A
    discs = np.diagonal(gram) - top_sum(np.abs(gram) * (1 - np.eye(n)), min(t, n) - 1)
    if t > 1:  # sums that cancel: what is left may be rounding
        discs = discs - 4 * m * min(t, n) * np.finfo(float).eps * np.diagonal(gram).max(initial=0.0)
    smallest = float(np.linalg.svd(A, compute_uv=False)[-1]) ** 2 if m >= n else -np.inf
    return max(smallest, float(discs.min()))
