"""Contraction on the supports that a run visits: theorem C2, and C2u with norms that need only their size."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from unrollbit.theory.convergence.instance import SOFT, measurement, signal
from unrollbit.theory.instances import Signal
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms, restricted_norm, top_sum
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.trajectory import Trajectory, run

_FALSE_SUPPORT = 3  # C2u allows supports this many times those of the signals


@theorem(
    "convergence",
    "contraction along the supports",
    "error",
    on=Signal,
    examine=lambda at: C2(at.form, at.x, at.y),
    meaning="the error after the last layer is at most {bound:.3g}",
)
def C2(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> Report:
    """``||x_k - x|| <= E_k`` with ``E_{k+1} = ||H_k[a_{k+1}, a_k]|| E_k + ||g_k[a_{k+1}]||``, ``E_0 = ||x||``.

    ``a_k = supp(x) u supp(x_k)`` (gradient descent: every coordinate from k = 1), ``g_k = (H_k + G_k A - I) x + G_k e -
    theta_k sign(x)``, ``e = y - A x``. A certificate after the run for every network of the forms ista, lista and gd:
    nothing is asked of its thresholds. Vacuous against ``||x||``. Raises ``ValueError`` for wrong shapes.

    Proof: ``x = S_theta(x + theta sign(x))``, and the soft threshold is nonexpansive coordinate by coordinate.

    Source: C2.

    Example:
        >>> from unrollbit.theory.random_forms import random_form, sparse_signals
        >>> form = random_form("ista", 0, m=64, n=32)
        >>> (x,), (y,), _ = sparse_signals(form, 0, 1)
        >>> report = C2(form, x, y)
        >>> report.status, len(report.bounds)
        ('holds', 7)
    """
    assumptions, found = _path("C2", form, x, y)
    if found is None:
        return not_applicable("C2", assumptions)
    x, path, active, g = found
    rates = [restricted_norm(form.H[k], active[k + 1], active[k]) for k in range(form.depth)]
    return _report("C2", x, path, active, g, np.array(rates), assumptions)


@theorem(
    "convergence",
    "the same for all supports of a size",
    "error",
    on=Signal,
    examine=lambda at: C2u(at.form, at.x, at.y, max(1, _FALSE_SUPPORT * int((at.x != 0).sum()))),
    meaning="the same for every support of this size: at most {bound:.3g}",
)
def C2u(form: NormalForm, x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"], t: int) -> Report:
    """C2 with ``rho_t(H_k)`` in place of the restricted norm, where every ``a_k`` has at most ``t`` entries.

    ``rho_t(H) = sqrt(largest row sum of t entries |H_ij| x largest column sum of t entries)`` bounds ``||H[R, C]||``
    for all sets of t rows and t columns: a linear rate where it is below 1, whatever the supports. Raises
    ``ValueError`` for wrong shapes and t < 1.

    Source: C2u.
    """
    if t < 1:
        raise ValueError(f"C2u t: expected a number of coordinates >= 1, got {t}")
    assumptions, found = _path("C2u", form, x, y)
    if found is None:
        return not_applicable("C2u", assumptions)
    x, path, active, g = found
    assumptions["|a_k| <= t for every k"] = bool((active.sum(1) <= t).all())
    return _report("C2u", x, path, active, g, uniform_norms(form, t), assumptions)


def uniform_norms(form: NormalForm, t: int) -> Float[np.ndarray, " K"]:
    """``rho_t(H_k)``."""
    R = np.abs(form.H)
    return np.sqrt(top_sum(R, t).max(1) * top_sum(R.swapaxes(1, 2), t).max(1))


_Path = tuple[
    Float[np.ndarray, " n"],
    Trajectory,
    Bool[np.ndarray, "K_plus_1 n"],
    Float[np.ndarray, "K n"],
]


def _path(name: str, form: NormalForm, x: np.ndarray, y: np.ndarray) -> tuple[dict[str, bool], _Path | None]:
    """The assumptions; signal, estimates, active sets and driving terms of a run, or None where they are not met."""
    x, y = signal(name, form, x), measurement(name, form, y)
    assumptions = {"the network is ISTA, LISTA or gradient descent": form.form != "admm", SOFT: form.soft}
    if not all(assumptions.values()):
        return assumptions, None
    path = run(form, y)
    active = (x != 0) | (path.x != 0)
    defect = form.H @ x + form.G @ (form.A @ x) - x if form.form == "lista" else 0.0
    g = defect + form.G @ (y - form.A @ x)
    if form.form == "gd":
        active[1:] = True
    else:
        g = g - form.theta[:, None] * np.sign(x)
    return assumptions, (x, path, active, g)


def _report(
    name: str,
    x: np.ndarray,
    path: Trajectory,
    active: np.ndarray,
    g: np.ndarray,
    rates: np.ndarray,
    assumptions: dict[str, bool],
) -> Report:
    E = [float(norms(x))]
    for k, rate in enumerate(rates):
        E.append(float(rate * E[k] + norms(g[k] * active[k + 1])))
    errors, size = norms(path.x - x), np.maximum(path.sizes(), E[0])
    return upper_bound(name, E[-1], errors[-1], E[0], assumptions, size=size, bounds=E, measurements=errors)
