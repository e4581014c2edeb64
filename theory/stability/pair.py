"""Lipschitz certificate of one pair of inputs, from the supports of its two runs."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import norms, restricted_norm, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound
from unrollbit.theory.stability.differences import (
    SOFT,
    checked_points,
    differences,
    quotient_sizes,
    trivial_constant,
)
from unrollbit.theory.stability.instance import Moved
from unrollbit.theory.trajectory import run


@theorem(
    "stability",
    "pairwise Lipschitz constant along the supports",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S5(at.form, at.y, at.others[0]),
    meaning="between two such y, the change is amplified at most {bound:.3g} times",
)
def S5(form: NormalForm, y: Float[np.ndarray, " m"], other: Float[np.ndarray, " m"]) -> Report:
    """Pairwise support-path Lipschitz: ``||f(y) - f(y')|| <= L_K ||y - y'||`` for two given inputs, where::

        a_k = supp x_k(y) u supp x_k(y')   (gd: all unknowns),   L_0 = 0
        L_{k+1} = ||H_k[a_{k+1}, a_k]|| L_k + ||G_k[a_{k+1}]||

    Proof: the estimates of layer k differ on a_k only, and the soft threshold is nonexpansive in every coordinate. For
    ista, lista and gd (the states of ADMM are not sparse). ``bounds`` and ``measurements`` are those of all layers.

    Raises:
        ValueError: wrong shapes, entries that are not finite, or equal inputs.
    """
    other = np.asarray(other, np.float64)
    if other.ndim != 1:
        raise ValueError(f"S5: expected one other vector of measurements ({form.A.shape[0]},), got shape {other.shape}")
    y, others = checked_points(form, y, other[None])
    dx = differences(form, y, others)[:, 0]
    measured = norms(dx[1:]) / norms(others[0] - y)
    assumptions = {SOFT: form.soft, "the form is ista, lista or gd": form.form != "admm"}
    if not all(assumptions.values()):
        return not_applicable("S5", assumptions, measured[-1])
    union = (run(form, y).x != 0) | (dx != 0)  # an unknown in the support of y' alone has a difference
    if form.form == "gd":
        union[1:] = True
    L, bounds = 0.0, []
    for k in range(form.depth):
        reached = union[k + 1]
        L = restricted_norm(form.H[k], reached, union[k]) * L + float(spectral_norm(form.G[k][reached]))
        bounds.append(L)
    trivial = trivial_constant(form, y, others)
    size = quotient_sizes(form, y, others)
    return upper_bound("S5", L, measured[-1], trivial, assumptions, size=size, bounds=bounds, measurements=measured)
