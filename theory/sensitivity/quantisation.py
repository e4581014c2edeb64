"""Direct quantisation: what is lost by keeping the signs of a full-precision network and one scale."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, equality, not_applicable
from unrollbit.theory.sensitivity.deviation import N1, N1path
from unrollbit.theory.sensitivity.instance import Perturbed

_SHARED = 1e-9  # relative: steps from float32 leave this much between the matrices of a tied network


class Quantisation(NamedTuple):
    """Both statements of theorem N6."""

    identity: Report
    output: Report


@theorem(
    "sensitivity",
    "quantisation to one bit",
    "output deviation",
    on=Perturbed,
    examine=lambda at: _quantised(at),
    meaning="one bit in place of floats moves the estimate by at most {bound:.3g}",
)
def N6(reference: NormalForm, y: Float[np.ndarray, " m"], steps: Float[np.ndarray, " K"] | None = None) -> Quantisation:
    """One-bit quantisation ``V_k -> lambda* M o sign(V_k)`` of a full-precision network (``ista``, ``gd``, ``admm``)
    with ``G_k = step_k V_k^T`` and P stored entries in all matrices together::

        lambda* = sum |V| / P,    sum_k ||V_k - lambda* M o sign(V_k)||_F^2 = ||V||_F^2 - P lambda*^2

    ``identity`` reports the second equation as shares of ``||V||_F^2``: the squared relative error, ``1 - 2/pi`` for
    Gaussian V, which no other scale makes smaller. ``output`` bounds ``||f(y) - f^(y)||`` by ``N1path`` (ADMM and other
    shrinkages: ``N1``) with the quantised network as the perturbed one. ``steps`` defaults to ones: V_k is then G_k^T
    (tied: V is G_0^T, and the other steps are relative to the first). Raises ``ValueError`` as ``quantised`` and
    ``N1``. Theorem N6.
    """
    assumptions = {"the form is ista, gd or admm": reference.form != "lista"}
    if reference.form == "lista":
        return Quantisation(not_applicable("N6", assumptions), not_applicable("N6", assumptions))
    other = quantised(reference, steps)
    V = _matrices(reference, steps)
    V = V / (float(np.abs(V).max()) or 1.0)  # shares do not depend on the unit of V, and its squares stay in range
    energy = float(np.square(V).sum())
    scale = _scale(reference, V)
    lost = float(np.square(V - scale * _signs(reference, V)).sum())
    kept = len(V) * int(reference.mask.sum()) * scale**2
    error, expected = (lost / energy, 1 - kept / energy) if energy else (0.0, 0.0)  # V = 0: nothing is lost
    bound = N1path if reference.soft and reference.form != "admm" else N1
    output = bound(reference, other, y)
    return Quantisation(
        equality("N6", expected, error, assumptions, size=1.0),
        replace(output, theorem="N6", assumptions=assumptions | output.assumptions),
    )


def quantised(reference: NormalForm, steps: Float[np.ndarray, " K"] | None = None) -> NormalForm:
    """The network with ``lambda* M o sign(V_k)`` (sign(0) = +1) in place of ``V_k = G_k^T / step_k``.

    Raises ``ValueError`` for ``lista`` (its second map has no part in G_k), for steps that are zero or of a wrong
    number, and for steps with which the layers of a tied network do not share one V.
    """
    if reference.form == "lista":
        raise ValueError("quantised: expected a form with H_k = I - G_k A (ista, gd, admm), got 'lista'")
    V = _matrices(reference, steps)
    W = _scale(reference, V) * _signs(reference, V)
    G = _steps(reference, steps)[:, None, None] * np.broadcast_to(W, (reference.depth, *W.shape[1:])).swapaxes(1, 2)
    return replace(reference, G=G, H=np.eye(reference.A.shape[1]) - G @ reference.A)


def _steps(reference: NormalForm, steps: Float[np.ndarray, " K"] | None) -> Float[np.ndarray, " K"]:
    if steps is None:
        found = np.ones(reference.depth)
        if reference.tied and reference.G[0].any():  # in units of the first step
            unit = reference.G[0] / np.abs(reference.G[0]).max()
            found = np.tensordot(reference.G, unit) / np.tensordot(reference.G[0], unit)
    else:
        found = np.asarray(steps, np.float64)
    if found.shape != (reference.depth,) or not found.all():
        raise ValueError(f"steps: expected {reference.depth} step sizes other than 0, got {found}")
    return found


def _matrices(reference: NormalForm, steps: Float[np.ndarray, " K"] | None) -> Float[np.ndarray, "copies m n"]:
    V = reference.G.swapaxes(1, 2) / _steps(reference, steps)[:, None, None]
    if not reference.tied:
        return V
    if np.abs(V - V[0]).max() > _SHARED * np.abs(V).max():
        raise ValueError("steps: expected those of a tied network, with which all layers share one matrix")
    return V[:1]


def _scale(reference: NormalForm, V: Float[np.ndarray, "copies m n"]) -> float:
    return float(np.abs(V).sum() / max(len(V) * reference.mask.sum(), 1))  # nothing stored: V = 0


def _signs(reference: NormalForm, V: Float[np.ndarray, "copies m n"]) -> Float[np.ndarray, "copies m n"]:
    return np.where(V >= 0, 1.0, -1.0) * reference.mask


def _quantised(at: Perturbed) -> Report:
    """The output bound of a network in full precision, or the identity where that fails."""
    if at.form.magnitudes is not None:
        return not_applicable("N6", {"the network is in full precision": False})
    identity, output = N6(at.form, at.y)
    return identity if identity.status == "violated" else output
