"""What is measured: differences of outputs for differences of inputs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import finite, norms
from unrollbit.theory.trajectory import run

SOFT = "the shrinkage is the soft threshold"


def checked_points(
    form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "P m"]]:
    """Both as float64; raises ``ValueError`` for wrong shapes, infinities and NaN, and others that are all ``y``."""
    y, others = np.asarray(y, np.float64), np.asarray(others, np.float64)
    m = form.A.shape[0]
    if y.shape != (m,) or others.ndim != 2 or others.shape[1] != m or not len(others):
        raise ValueError(f"expected measurements y ({m},) and others (P >= 1, {m}), got {y.shape} and {others.shape}")
    finite("y", y)
    finite("others", others)
    if not (others != y).any():
        raise ValueError("others: expected at least one vector of measurements that differs from y")
    return y, others


def differences(
    form: NormalForm, y: Float[np.ndarray, "*P m"], others: Float[np.ndarray, "P m"]
) -> Float[np.ndarray, "K_plus_1 P n"]:
    """``x_k(y') - x_k(y)`` for every layer k = 0 .. K and every other vector of measurements y'.

    For the soft threshold the differences themselves run through the layers: subtracting two outputs would lose as
    many digits as y' and y have in common, and exact bounds would seem violated for near pairs.
    """
    start = run(form, y)
    if not form.soft:
        return run(form, others).x - (start.x[:, None] if y.ndim == 1 else start.x)
    dy = others - y
    dx = np.zeros((len(others), form.A.shape[1]))
    dv, found = dx, [dx]
    for k in range(form.depth):
        if form.form == "admm":
            dv = dv - dx + (2 * dx - dv) @ form.H[k].T + dy @ form.G[k].T
            dx = _soft_difference(start.u[k + 1], dv, float(form.theta[k + 1]))
        else:
            du = dx @ form.H[k].T + dy @ form.G[k].T
            dx = du if form.form == "gd" else _soft_difference(start.u[k], du, float(form.theta[k]))
        found.append(dx)
    return np.stack(found)


def quotients(
    form: NormalForm, y: Float[np.ndarray, "*P m"], others: Float[np.ndarray, "P m"]
) -> Float[np.ndarray, "K_plus_1 P"]:
    """``||x_k(y') - x_k(y)|| / ||y' - y||`` for every layer; 0 where y' = y."""
    distance = norms(others - y)
    return norms(differences(form, y, others)) / np.where(distance > 0, distance, np.inf)


def quotient_sizes(
    form: NormalForm, y: Float[np.ndarray, "*P m"], others: Float[np.ndarray, "P m"]
) -> Float[np.ndarray, " K"]:
    """Size of what is added up for the quotients of every layer, which their rounding is relative to: the largest
    ``||H_k|| ||x_k(y') - x_k(y)|| / ||y' - y|| + ||G_k||`` so far, and ``||x_k|| / ||y' - y||`` where outputs are
    subtracted.
    """
    terms = form.H_norms[:, None] * quotients(form, y, others)[:-1] + form.G_norms[:, None]
    if not form.soft:
        distance = norms(others - y)
        terms = terms + run(form, others).sizes()[1:] / np.where(distance > 0, distance, np.inf)
    return np.maximum.accumulate(terms.max(axis=1, initial=0.0))


def trivial_constant(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]) -> float:
    """``||f(y)|| / max ||y - y'||``: a constant that is not below it allows the output to move by its own size."""
    return float(norms(run(form, y).output) / norms(others - y).max())


def _soft_difference(u: np.ndarray, du: np.ndarray, threshold: float) -> np.ndarray:
    """``S(u + du) - S(u)`` to full relative precision: ``du`` less the part of it that is spent between +-threshold."""
    inside = np.clip(u, -threshold, threshold)
    return du - np.clip((u - inside) + du, -threshold - inside, threshold - inside)
