"""Perturbed networks: an error of the scale, and physics inside the network that is not quite the true one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm


def with_scale_error(form: NormalForm, eps: float | Float[np.ndarray, " K"]) -> NormalForm:
    """The network with the scale ``(1 + eps) lambda`` (one eps, or one per layer).

    Scale and step size enter only as a product, so this is a relative step error too. The perturbation acts on the
    reference trajectory as ``|eps_k| ||G_k r_k||`` (theorem N1). Raises ``ValueError`` for ``lista``, whose second map
    has a scale of its own, or a wrong number of errors.
    """
    _holds_the_physics(form, "with_scale_error")
    eps = np.asarray(eps, np.float64)
    if eps.shape not in ((), (form.depth,)):
        raise ValueError(f"eps: expected a number or shape ({form.depth},), got shape {eps.shape}")
    G = (1 + eps.reshape(-1, 1, 1)) * form.G
    return replace(form, G=G, H=np.eye(form.A.shape[1]) - G @ form.A)


def with_operator_error(form: NormalForm, dA: Float[np.ndarray, "m n"]) -> NormalForm:
    """The network that holds ``A + dA`` instead of A, with the same G_k.

    The perturbation acts on the reference trajectory as ``||G_k dA o_k||`` (theorem N1). A mismatch in the data only is
    no change of the network: pass ``y_other = (A + dA) x* + e`` to ``N1``. Raises ``ValueError`` for ``lista``, which
    holds no A, or a wrong shape.
    """
    _holds_the_physics(form, "with_operator_error")
    dA = np.asarray(dA, np.float64)
    if dA.shape != form.A.shape:
        raise ValueError(f"dA: expected shape {form.A.shape}, got {dA.shape}")
    A = form.A + dA
    return replace(form, A=A, H=np.eye(A.shape[1]) - form.G @ A)


def _holds_the_physics(form: NormalForm, name: str) -> None:
    if form.form == "lista":
        raise ValueError(f"{name}: expected a form with H_k = I - G_k A (ista, gd, admm), got 'lista'")
