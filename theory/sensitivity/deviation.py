"""How far two networks of one form come apart: along a trajectory, on its supports, and for all measurements."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, finite, norms, restricted_norm, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, upper_bound
from unrollbit.theory.sensitivity.instance import Perturbed
from unrollbit.theory.trajectory import Trajectory, run


@theorem(
    "sensitivity",
    "deviation of a perturbed network along the trajectory",
    "output deviation",
    on=Perturbed,
    examine=lambda at: [N1(at.form, other, at.y) for other in at.errors],
    meaning="wrong weights move the estimate by at most {bound:.3g}",
)
def N1(
    form: NormalForm, other: NormalForm, y: Float[np.ndarray, " m"], y_other: Float[np.ndarray, " m"] | None = None
) -> Report:
    """Deviation of a perturbed network (``other``, with a hat) along the trajectory of the reference (``form``)::

        ||f(y) - f^(y^)|| <= D_K,   D_0 = 0,
        s_k = ||(H_k - H^_k) o_k + (G_k - G^_k) y|| + ||G^_k|| ||y - y^||
        D_{k+1} = c^_k D_k + s_k + t_k sqrt(n) |theta_k - theta^_k|

    ``o_k = x_k`` and ``t_k = 1``; in ADMM ``o_k = 2 z_k - v_k``, ``t_k = ||2 H^_k - I||``, and each estimate z_k adds
    ``sqrt(n) |theta_k - theta^_k|`` once more. Any shrinkage with a Lipschitz constant L will do (everything but the
    thresholds is then multiplied by L) if both networks use the same one: the same function, as in
    ``dataclasses.replace(form, ...)``. ADMM needs a proximal map of a convex penalty.

    ``y_other`` is what the perturbed network measures (None: ``y``). The layers' bounds are those of the estimates
    x_1 .. x_K. Vacuous if the bound is not below ``||f(y)||``. Raises ``ValueError`` unless both networks have one
    form and one shape. Theorem N1; with the same A the driving term is ``(G_k - G^_k)(y - A o_k)``: deviations scale
    with the residual.

    Example:
        >>> from unrollbit.theory.random_forms import random_form, sparse_signals
        >>> from unrollbit.theory.sensitivity import with_scale_error
        >>> form = random_form("gd", 0, m=24, n=16)
        >>> N1(form, with_scale_error(form, 0.01), sparse_signals(form, 1, 1)[1][0]).status
        'holds'
    """
    y, y_other = _measured(form, other, y, y_other)
    n, admm = form.A.shape[1], form.form == "admm"
    first, second = run(form, y), run(other, y_other)
    thresholds = math.sqrt(n) * _threshold_changes(form, other)
    D, bounds = 0.0, []
    for k in range(form.depth):
        source = (form.H[k] - other.H[k]) @ first.o[k] + (form.G[k] - other.G[k]) @ y
        driven = _gain(other) * (norms(source) + other.G_norms[k] * norms(y - y_other))
        D = other.factors[k] * D + driven + (other.reflected_norms[k] if admm else 1) * thresholds[k]
        bounds.append(D + (thresholds[k + 1] if admm else 0))
    apart = norms(first.x - second.x)[1:]
    trivial = float(norms(first.output))
    return upper_bound(
        "N1",
        bounds[-1],
        apart[-1],
        trivial,
        _same_shrinkage(form, other),
        size=sizes(first, second),
        bounds=bounds,
        measurements=apart,
    )


@theorem(
    "sensitivity",
    "the same along the supports",
    "output deviation",
    on=Perturbed,
    examine=lambda at: [N1path(at.form, other, at.y) for other in at.errors],
    meaning="the same along the supports: at most {bound:.3g}",
)
def N1path(
    form: NormalForm, other: NormalForm, y: Float[np.ndarray, " m"], y_other: Float[np.ndarray, " m"] | None = None
) -> Report:
    """N1 on the supports that the two runs pass through (``ista``, ``lista``, ``gd``; the soft threshold)::

        a_0 = {}, a_k = supp(x_k) u supp(x^_k) (gd: all),  s_k = (H_k - H^_k) x_k + (G_k - G^_k) y - G^_k (y^ - y)
        D_0 = 0,  D_{k+1} = ||H^_k[a_{k+1}, a_k]|| D_k + ||s_k[a_{k+1}]|| + sqrt|a_{k+1}| |theta_k - theta^_k|

    Never above N1. It needs the supports of the perturbed run, not its values. Raises as ``N1``. Theorem N1path.
    """
    y, y_other = _measured(form, other, y, y_other)
    first, second = run(form, y), run(other, y_other)
    if form.form == "gd":
        active = np.ones(first.x.shape, bool)
        active[0] = False
    else:
        active = (first.x != 0) | (second.x != 0)
    changes = _threshold_changes(form, other)
    D, bounds = 0.0, []
    for k in range(form.depth):
        now, then = active[k + 1], active[k]
        source = (form.H[k] - other.H[k]) @ first.o[k] + (form.G[k] - other.G[k]) @ y - other.G[k] @ (y_other - y)
        carried = restricted_norm(other.H[k], now, then) * D
        D = carried + float(norms(source[now])) + math.sqrt(now.sum()) * changes[k]
        bounds.append(D)
    apart = norms(first.x - second.x)[1:]
    assumptions = {
        "the form is ista, lista or gd": form.form != "admm",
        "the shrinkage is the soft threshold": form.soft and other.soft,
    }
    trivial = float(norms(first.output))
    return upper_bound(
        "N1path",
        bounds[-1],
        apart[-1],
        trivial,
        assumptions,
        size=sizes(first, second),
        bounds=bounds,
        measurements=apart,
    )


@theorem(
    "sensitivity",
    "the same for all measurements of bounded norm",
    "output deviation",
    on=Perturbed,
    examine=lambda at: [N1free(at.form, other, at.y) for other in at.errors],
    meaning="the same for every y of this size: at most {bound:.3g}",
)
def N1free(form: NormalForm, other: NormalForm, y: Float[np.ndarray, " m"], Y: float | None = None) -> Report:
    """N1 without a trajectory: one number for all measurements of norm at most Y, measured at one of them::

        X_0 = D_0 = 0,  X_{k+1} = c_k X_k + ||G_k|| Y,
        D_{k+1} = c^_k D_k + ||H_k - H^_k|| X_k + ||G_k - G^_k|| Y + t_k sqrt(n) |theta_k - theta^_k|

    with ``t_k`` and the output of ADMM as in ``N1``; both networks measure ``y``. A shrinkage with another Lipschitz
    constant must leave 0 at 0. ``Y = None`` takes ``||y||``. Raises as ``N1``, and for a negative Y. Theorem N1free.
    """
    y, _ = _measured(form, other, y, None)
    size = float(norms(y))
    Y = size if Y is None else float(Y)
    if not 0 <= Y < np.inf:
        raise ValueError(f"N1free: expected a finite radius Y >= 0, got {Y}")
    assumptions = _same_shrinkage(form, other) | {"||y|| <= Y": bool(at_most(size, Y))}
    Y = max(Y, size) if assumptions["||y|| <= Y"] else Y  # met up to rounding: the bound is for what was measured
    n, admm = form.A.shape[1], form.form == "admm"
    H_apart, G_apart = spectral_norm(form.H - other.H), spectral_norm(form.G - other.G)
    thresholds = math.sqrt(n) * _threshold_changes(form, other)
    X, D, bounds = 0.0, 0.0, []
    for k in range(form.depth):
        driven = _gain(other) * (H_apart[k] * X + G_apart[k] * Y)
        D = other.factors[k] * D + driven + (other.reflected_norms[k] if admm else 1) * thresholds[k]
        X = form.factors[k] * X + _gain(form) * form.G_norms[k] * Y
        bounds.append(D + (thresholds[k + 1] if admm else 0))
    first, second = run(form, y), run(other, y)
    apart = norms(first.x - second.x)[1:]
    if not form.soft:
        images = [form.threshold(np.zeros(n), k) for k in range(len(form.theta))]
        assumptions["the shrinkage maps 0 to 0"] = not np.any(images)
    trivial = float(norms(first.output))
    return upper_bound(
        "N1free",
        bounds[-1],
        apart[-1],
        trivial,
        assumptions,
        size=sizes(first, second),
        bounds=bounds,
        measurements=apart,
    )


def sizes(*runs: Trajectory) -> Float[np.ndarray, " K"]:
    """Largest norms in any of the runs up to the estimates x_1 .. x_K, which their differences are rounded to."""
    return np.max([each.sizes()[1:] for each in runs], axis=0)


def _gain(form: NormalForm) -> float:
    """What the shrinkage multiplies a change before it by; ADMM only takes shrinkages for which that is 1."""
    return 1.0 if form.form == "admm" else form.lipschitz


def _same_shrinkage(form: NormalForm, other: NormalForm) -> dict[str, bool]:
    assumptions = {"both networks have the same shrinkage": form.shrink is other.shrink}
    if form.form == "admm":
        assumptions["the shrinkage is a proximal map of a convex penalty"] = form.convex and other.convex
    return assumptions


def _threshold_changes(form: NormalForm, other: NormalForm) -> Float[np.ndarray, " K_or_K_plus_1"]:
    """``|theta_k - theta^_k|``, 0 where the thresholds are not used."""
    return np.abs(form.theta - other.theta) * (form.soft and form.form != "gd")


def _measured(
    form: NormalForm, other: NormalForm, y: Float[np.ndarray, " m"], y_other: Float[np.ndarray, " m"] | None
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Both measurements in float64; raises ``ValueError`` if networks or measurements do not belong together."""
    wanted, found = (form.form, form.G.shape), (other.form, other.G.shape)
    if wanted != found:
        raise ValueError(f"other: expected a network of form and shape {wanted}, got {found}")
    m = len(form.A)
    both = tuple(np.asarray(values, np.float64) for values in (y, y if y_other is None else y_other))
    for name, values in zip(("y", "y_other"), both, strict=True):
        if values.shape != (m,):
            raise ValueError(f"{name}: expected shape ({m},), got {values.shape}")
        finite(name, values)
    return both[0], both[1]
