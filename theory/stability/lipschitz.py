"""Global Lipschitz constants: one number for all inputs, from the weights alone."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, upper_bound
from unrollbit.theory.stability.differences import checked_points, quotient_sizes, quotients, trivial_constant
from unrollbit.theory.stability.instance import Moved

PROXIMAL = "the shrinkage is the proximal map of a convex penalty"


@theorem(
    "stability",
    "global Lipschitz recursion",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S1(at.form, at.y, at.others),
    meaning="no change of y is amplified more than {bound:.3g} times",
)
def S1(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]) -> Report:
    """Global Lipschitz recursion: ``||f(y) - f(y')|| <= L_K ||y - y'||`` for all y, y', where::

        L_0 = 0,   L_{k+1} = c_k L_k + ell ||G_k||

    c_k is the Lipschitz constant of layer k in its state (``form.factors``): ``ell ||H_k||``, and ``(1 + ||I - 2 G_k
    A||) / 2`` for ADMM with ell = 1. The Lipschitz constant ell of the shrinkage is 1 for the soft threshold. Proof:
    ``||S(u) - S(u')|| <= ell ||u - u'||`` with ``u - u' = H_k (x - x') + G_k (y - y')``. For ADMM the shrinkage P has
    to be a proximal map: then ``r = 2 (P v - P v') - (v - v')`` is no longer than ``v - v'``, the states differ by
    ``(v - v') / 2 + (H_k - I / 2) r + G_k (y - y')``, and the output is nonexpansive in the last state.

    The measurement is the largest quotient over ``others``; ``bounds`` and ``measurements`` have L_k and the
    quotients of the estimates of all layers. Vacuous where the bound lets the output move by its own size at the
    farthest of ``others``.

    Raises:
        ValueError: wrong shapes, entries that are not finite, or no other point than y.

    Example:
        >>> from unrollbit.theory.random_forms import random_form
        >>> form = random_form("ista", seed=0)
        >>> y = np.ones(16)
        >>> report = S1(form, y, y + np.eye(16))
        >>> report.status, len(report.bounds)
        ('holds', 6)
    """
    assumptions = {PROXIMAL: form.convex} if form.form == "admm" else {}
    return _report("S1", form, y, others, recursion_constants(form), assumptions)


@theorem(
    "stability",
    "half-linearised Lipschitz recursion",
    "Lipschitz constant",
    on=Moved,
    examine=lambda at: S1h(at.form, at.y, at.others),
    meaning="the same, sharper: at most {bound:.3g} times",
)
def S1h(form: NormalForm, y: Float[np.ndarray, " m"], others: Float[np.ndarray, "P m"]) -> Report:
    """Half-linearised Lipschitz constant: S1 with the nominal linear part propagated exactly; never above S1.

    A proximal map P has ``P u - P u' = (u - u' + t) / 2`` with ``||t|| <= ||u - u'||``. So the difference of the states
    is ``J_k (y - y')`` up to ``eta_k ||y - y'||``; from J_0 = 0, eta_0 = 0::

        ista, lista  U = H_k J + G_k,      eta' = ||H_k|| eta / 2 + (||U|| + ||H_k|| eta) / 2,   J' = U / 2
        gd           J' = H_k J + G_k,     eta' = 0: exact, L_K = ||J_K||
        admm         J' = J / 2 + G_k,     eta' = eta / 2 + ||H_k - I / 2|| (||J|| + eta)
        all          L' = min(c_k L + ||G_k||, ||J'|| + eta')

    Stated for the soft threshold; the proof uses only that it is a proximal map of a convex penalty. Measurement,
    errors and what is vacuous: as in ``S1``.
    """
    return _report("S1h", form, y, others, half_linearised_constants(form), {PROXIMAL: form.convex})


def recursion_constants(form: NormalForm) -> Float[np.ndarray, " K"]:
    """``L_1 .. L_K`` of ``S1``."""
    found, L = [], 0.0
    for factor, gain in zip(form.factors, form.G_norms, strict=True):
        L = factor * L + form.lipschitz * gain
        found.append(L)
    return np.array(found)


def half_linearised_constants(form: NormalForm) -> Float[np.ndarray, " K"]:
    """``L_1 .. L_K`` of ``S1h``."""
    J, eta, L, found = np.zeros(form.A.shape[::-1]), 0.0, 0.0, []
    for k in range(form.depth):
        if form.form == "admm":
            eta = eta / 2 + form.reflected_norms[k] / 2 * (spectral_norm(J) + eta)
            J = J / 2 + form.G[k]
        elif form.form == "gd" and form.soft:
            J = form.H[k] @ J + form.G[k]
        else:
            U = form.H[k] @ J + form.G[k]
            nominal, spread = form.H_norms[k] * eta / 2, (spectral_norm(U) + form.H_norms[k] * eta) / 2
            J, eta = U / 2, nominal + spread
        L = min(form.factors[k] * L + form.lipschitz * form.G_norms[k], spectral_norm(J) + eta)
        found.append(L)
    return np.array(found)


def product_bound(form: NormalForm) -> float:
    """The product of layer norms ``prod_k ||[[H_k, G_k], [0, I]]||``, with y carried along as part of the state.

    Also a Lipschitz constant of the network, for comparison only. S1, which uses that y enters every layer with a gain
    of its own, is smaller for most networks (not for all). Raises ``ValueError`` for ADMM, whose layers are no such
    matrices.
    """
    if form.form == "admm":
        raise ValueError("product_bound: expected ista, lista or gd, got admm")
    m, n = form.A.shape
    carried = np.hstack([np.zeros((m, n)), np.eye(m)])
    layers = [np.vstack([form.lipschitz * np.hstack([H, G]), carried]) for H, G in zip(form.H, form.G, strict=True)]
    return math.prod(spectral_norm(np.stack(layers)).tolist())


def _report(
    theorem: str,
    form: NormalForm,
    y: Float[np.ndarray, " m"],
    others: Float[np.ndarray, "P m"],
    constants: Float[np.ndarray, " K"],
    assumptions: dict[str, bool],
) -> Report:
    y, others = checked_points(form, y, others)
    measured = quotients(form, y, others).max(axis=1)[1:]
    trivial = trivial_constant(form, y, others)
    size = quotient_sizes(form, y, others)
    return upper_bound(
        theorem, constants[-1], measured[-1], trivial, assumptions, size=size, bounds=constants, measurements=measured
    )
