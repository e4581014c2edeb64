"""Gradient descent with any matrix in place of the adjoint: theorems C3, C3a (alignment) and C3b (products)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.convergence.instance import full_column_rank, measurement, signal
from unrollbit.theory.instances import Attacked, Signal
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import ROUNDING, at_most, norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.trajectory import run

_ALIGNED = "lambda_min((W^T A + A^T W) / 2) > 0"
_CANCELLED = 1e-14  # what rounding may take from 1 - 2 mu + L^2, whose root is then too small by much more


@theorem(
    "convergence",
    "gradient descent, recursion",
    "error",
    on=Signal,
    examine=lambda at: C3(at.form, at.x, at.y),
    meaning="the error after the last layer is at most {bound:.3g}",
)
def C3(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> Report:
    """``||x_k - x|| <= E_k`` with ``E_{k+1} = ||H_k|| E_k + ||G_k e||``, ``E_0 = ||x||``, ``e = y - A x``.

    For gradient descent and A of full column rank. Vacuous unless every ``||H_k|| < 1`` and the bound is below
    ``||x||``. Raises ``ValueError`` for wrong shapes.

    Source: C3.

    Example: a step of 1 / 2 halves the error.
        >>> A = np.eye(2)
        >>> form = NormalForm.from_arrays("gd", A, A[None], np.full(3, 0.5))
        >>> C3(form, np.array([8.0, 0.0]), np.array([8.0, 0.0])).bounds
        (8.0, 4.0, 2.0, 1.0)
    """
    x, y, assumptions = _overdetermined("C3", form, x, y)
    noise = norms(form.G @ (y - form.A @ x))
    E = [float(norms(x))]
    for k in range(form.depth):
        E.append(float(form.H_norms[k] * E[k] + noise[k]))
    report = _report("C3", form, x, y, np.array(E), assumptions, E[0])
    expands = report.bound is not None and form.H_norms.max() >= 1
    return replace(report, vacuous=True) if expands else report


@theorem(
    "convergence",
    "gradient descent, product of layers",
    "error",
    on=Signal,
    examine=lambda at: C3b(at.form, at.x, at.y),
    meaning="from the product of the layers: the error is at most {bound:.3g}",
)
def C3b(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> Report:
    """``||x_k - x|| <= ||P_k|| ||x|| + ||sum_j P_{k,j+1} G_j e||``, P the products of the H_k; ``e = y - A x``.

    C3 without its loss in taking norms layer by layer: exact up to the direction of x. Raises ``ValueError`` for wrong
    shapes.

    Source: C3b.
    """
    x, y, assumptions = _overdetermined("C3b", form, x, y)
    drive = form.G @ (y - form.A @ x)
    P, b = np.eye(len(x)), np.zeros_like(x)
    size = float(norms(x))
    E = [size]
    for k in range(form.depth):
        P, b = form.H[k] @ P, form.H[k] @ b + drive[k]
        E.append(float(spectral_norm(P) * size + norms(b)))
    return _report("C3b", form, x, y, np.array(E), assumptions, size)


def alignment(form: NormalForm) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """``mu_k = lambda_min((B + B^T) / 2)`` and ``L_k = ||B||`` of ``B = G_k A``.

    With ``G_k = alpha W^T`` these are alpha times those of W, so ``mu_k / L_k`` does not depend on the step.
    """
    B = form.G @ form.A
    return np.linalg.eigvalsh((B + B.swapaxes(1, 2)) / 2)[:, 0], spectral_norm(B)


def aligned_factor(form: NormalForm) -> Report:
    """``||I - alpha W_k^T A|| <= sqrt(1 - (mu_W / L_W)^2)`` at the step ``alpha = mu_W / L_W^2``, for every layer.

    ``mu_W = lambda_min((W^T A + A^T W) / 2)`` must be positive, ``L_W = ||W^T A||``. The steps of the network are
    replaced by that one; vacuous never, as the factor is below 1. ``bound`` is the largest factor.

    Proof: ``||I - a B||^2 <= 1 - 2 a mu + a^2 L^2``. Source: C3a, first part.
    """
    mu, L = alignment(form)
    assumptions = {"the network is gradient descent": form.form == "gd", _ALIGNED: bool((mu > ROUNDING * L).all())}
    if not all(assumptions.values()):
        return not_applicable("C3a", assumptions)
    limits = np.sqrt(np.maximum(1 - (mu / L) ** 2, 0.0) + _CANCELLED)
    found = spectral_norm(np.eye(form.A.shape[1]) - (mu / L**2)[:, None, None] * (form.G @ form.A))
    worst = int(limits.argmax())
    return upper_bound("C3a", limits[worst], found[worst], 1.0, assumptions, bounds=limits, measurements=found)


@theorem(
    "convergence",
    "gradient descent, alignment of W with A",
    "error",
    on=Attacked,
    examine=lambda at: C3a(at.form, at.x, at.y),
    meaning="from how W agrees with A: the error is at most {bound:.3g}",
)
def C3a(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> Report:
    """One matrix W aligned with A converges to its oblique solution ``x_W = (W^T A)^{-1} W^T y``, and so near x::

        ||x_k - x|| <= prod_{j<k} sqrt(1 - 2 mu_j + L_j^2) ||x_W|| + ||d||,   d = x_W - x = (W^T A)^{-1} W^T (y - A x)

    ``mu_j = alpha_j mu_W`` and ``L_j = alpha_j L_W`` at the steps of the network; at ``alpha = mu_W / L_W^2`` the
    factor is that of ``aligned_factor``. Without noise ``x_W = x`` whatever the matrix. Asked for: gradient descent,
    ``mu_W > 0`` and G_k that are multiples of one matrix. Vacuous against ``||x||``. Raises ``ValueError`` for wrong
    shapes.

    Source: C3a.
    """
    x, y, assumptions = _overdetermined("C3a", form, x, y)
    mu, L = alignment(form)
    first = form.G[0]
    shares = (form.G * first).sum((1, 2)) / (float((first * first).sum()) or 1.0)
    rest = np.abs(form.G - shares[:, None, None] * first).max()
    assumptions["every G_k is a multiple of one matrix"] = bool(at_most(rest, 0.0, float(np.abs(form.G).max())))
    assumptions[_ALIGNED] = bool((mu > ROUNDING * L).all())
    if not all(assumptions.values()):
        return not_applicable("C3a", assumptions)
    # x_W is x + d: solved for itself it would lose as many digits as the square of the condition number of A has
    d = np.linalg.solve(first @ form.A, first @ (y - form.A @ x))
    factors = np.sqrt(np.maximum(1 - 2 * mu + L**2, 0.0) + _CANCELLED * (1 + L**2))
    E = np.cumprod([float(norms(x + d)), *factors]) + float(norms(d))
    return _report("C3a", form, x, y, E, assumptions, float(norms(x)))


def _overdetermined(
    name: str, form: NormalForm, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[str, bool]]:
    x, y = signal(name, form, x), measurement(name, form, y)
    m, n = form.A.shape
    assumptions = {
        "the network is gradient descent": form.form == "gd",
        "no shrinkage": form.soft,
        "m >= n": m >= n,
        "A has full column rank": m >= n and full_column_rank(form.A),
    }
    return x, y, assumptions


def _report(
    name: str,
    form: NormalForm,
    x: np.ndarray,
    y: np.ndarray,
    E: np.ndarray,
    assumptions: dict[str, bool],
    trivial: float,
) -> Report:
    path = run(form, y)
    errors, size = norms(path.x - x), np.maximum(path.sizes(), float(norms(x)))
    return upper_bound(name, float(E[-1]), errors[-1], trivial, assumptions, size=size, bounds=E, measurements=errors)
