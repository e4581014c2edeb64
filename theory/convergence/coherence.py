"""Linear rate under a coherence of the layers: theorem C1 in the sup norm and its classical form C1b in the l1 norm."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from unrollbit.theory.convergence.instance import SOFT, measurement, signal
from unrollbit.theory.instances import Signal
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, norms, top_sum
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, exceeds, not_applicable, upper_bound
from unrollbit.theory.trajectory import run


def babel(
    form: NormalForm, s: int, *, support: Bool[np.ndarray, " n"] | None = None
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Generalised Babel coherences ``(gamma_k, mu_k)`` of the layers, from ``R = |H_k|`` entrywise::

        gamma_k = max_i (R_ii + sum of the s - 1 largest R_ij, j != i),   mu_k = max_i sum of the s largest R_ij, j != i

    The diagonal is the gain defect ``|1 - alpha_k w_i^T a_i|``, so no normalisation is asked for. With a ``support`` S
    both are taken over it alone: row sums over S of the rows in S (gamma) and outside S (mu). Raises ``ValueError`` for
    a negative s or a support of another shape.

    Source: C1; J. A. Tropp, "Greed is good", 2004, for the Babel function.
    """
    R, n = np.abs(form.H), form.A.shape[1]
    if s < 0:
        raise ValueError(f"babel s: expected a number of non-zeros >= 0, got {s}")
    if support is None:
        diagonal = np.diagonal(R, axis1=1, axis2=2)
        others = R * (1 - np.eye(n))
        return (diagonal + top_sum(others, s - 1)).max(1), top_sum(others, min(s, n - 1)).max(1)
    inside = np.asarray(support, bool)
    if inside.shape != (n,):
        raise ValueError(f"babel support: expected shape ({n},), got {inside.shape}")
    sums = R[:, :, inside].sum(2)
    return sums[:, inside].max(1, initial=0.0), sums[:, ~inside].max(1, initial=0.0)


def noise_bound(form: NormalForm, size: float) -> Float[np.ndarray, " K"]:
    """Bound of ``||G_k e||_inf`` for every noise with ``||e|| <= size``: ``size`` times the largest row norm of G_k.

    For a one-bit matrix of scale lam that is ``size alpha_k lam sqrt(most non-zeros in a column of the mask)``. Raises
    ``ValueError`` for a negative size.
    """
    if size < 0:
        raise ValueError(f"noise_bound size: expected >= 0, got {size}")
    return size * norms(form.G).max(1)


def c1_schedule(
    form: NormalForm,
    s: int,
    E0: float,
    nu: float | Float[np.ndarray, " K"] = 0.0,
    *,
    support: Bool[np.ndarray, " n"] | None = None,
    classical: bool = False,
) -> Float[np.ndarray, " K"]:
    """Thresholds ``theta_k = mu_k E_k + nu_k``, the smallest that meet the predicate of C1 (of C1b: ``classical``).

    Then ``E_{k+1} = (gamma_k + mu_k) E_k + 2 nu_k``: a linear rate where ``gamma_k + mu_k < 1``, down to ``2 nu / (1 -
    rate)``. ``E0`` bounds ``||x||_inf`` (C1b: ``||x||_1``). Raises ``ValueError`` for negative E0 or nu.

    Example:
        >>> from dataclasses import replace
        >>> from unrollbit.theory.random_forms import random_form, sparse_signals
        >>> form = random_form("ista", 0, m=64, n=8)
        >>> (x,), (y,), _ = sparse_signals(form, 0, 1, sparsity=2)
        >>> form = replace(form, theta=c1_schedule(form, 2, abs(x).max()))
        >>> C1(form, x, y).status
        'holds'
    """
    nus = np.broadcast_to(np.asarray(nu, np.float64), (form.depth,))
    if E0 < 0 or (nus < 0).any():
        raise ValueError(f"c1_schedule: expected E0 >= 0 and nu >= 0, got {E0} and {nus.min()}")
    gamma, mu = _classical(form, s) if classical else babel(form, s, support=support)
    spread = s if classical else 1
    theta, E = np.zeros(form.depth), float(E0)
    for k in range(form.depth):
        theta[k] = mu[k] * E + nus[k]
        E = gamma[k] * E + spread * (nus[k] + theta[k])
    return theta


@theorem(
    "convergence",
    "linear rate under generalised coherence",
    "largest error",
    on=Signal,
    examine=lambda at: [C1(at.form, at.x, at.y, support=known) for known in (False, True)],
    meaning="no unknown is wrong by more than {bound:.3g} after the last layer",
)
def C1(
    form: NormalForm,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " m"],
    *,
    s: int | None = None,
    E0: float | None = None,
    nu: Float[np.ndarray, " K"] | None = None,
    support: bool = False,
) -> Report:
    """No false support and ``||x_k - x||_inf <= E_k`` with ``E_{k+1} = gamma_k E_k + nu_k + theta_k``, at every layer.

    ``(gamma_k, mu_k)`` are the Babel coherences (``babel``), ``nu_k >= ||G_k e||_inf`` with ``e = y - A x``, and ``E_0
    >= ||x||_inf``; the thresholds must satisfy ``theta_k >= mu_k E_k + nu_k``, as those of ``c1_schedule`` do. ``s``,
    ``E0`` and ``nu`` default to what the signal has. ``support`` takes the coherences over the support of x, which is
    known in an experiment only. Vacuous against ``||x||_inf``. Raises ``ValueError`` for wrong shapes and negative
    bounds.

    Source: C1. Classical form for coupled weights: X. Chen, J. Liu, Z. Wang and W. Yin, "Theoretical linear convergence
    of unfolded ISTA", 2018.
    """
    x, y, s, assumptions = _sparse("C1", form, x, y, s)
    if not assumptions["the network is ISTA"]:
        return not_applicable("C1", assumptions)
    inside = x != 0
    E0, assumptions["||x||_inf <= E_0"] = _start("C1 E0", E0, float(np.abs(x).max()))
    off, on, assumptions["nu_k >= ||G_k e||_inf for every k"] = _noise(form, x, y, nu, inside if support else None)
    gamma, mu = babel(form, s, support=inside if support else None)
    E = [E0]
    for k in range(form.depth):
        E.append(gamma[k] * E[k] + on[k] + form.theta[k])
    return _decide("C1", form, x, y, assumptions, mu * E[:-1] + off, E, np.inf)


@theorem(
    "convergence",
    "the same in the l1 norm",
    "l1 error",
    on=Signal,
    examine=lambda at: C1b(at.form, at.x, at.y),
    meaning="the errors of all unknowns add up to at most {bound:.3g}",
)
def C1b(
    form: NormalForm,
    x: Float[np.ndarray, " n"],
    y: Float[np.ndarray, " m"],
    *,
    s: int | None = None,
    E0: float | None = None,
    nu: Float[np.ndarray, " K"] | None = None,
) -> Report:
    """The classical form of C1, in the l1 norm: ``||x_k - x||_1 <= E_k`` with ``E_{k+1} = (eta_k + mu0_k (s - 1)) E_k +
    s (nu_k + theta_k)`` and no false support.

    ``eta_k`` is the largest diagonal entry of ``|H_k|``, ``mu0_k`` the largest other one; ``theta_k >= mu0_k E_k +
    nu_k`` is asked for, ``E_0 >= ||x||_1``. Its rate is never below that of C1. Vacuous against ``||x||_1``.

    Source: C1b; X. Chen, J. Liu, Z. Wang and W. Yin, 2018.
    """
    x, y, s, assumptions = _sparse("C1b", form, x, y, s)
    if not assumptions["the network is ISTA"]:
        return not_applicable("C1b", assumptions)
    E0, assumptions["||x||_1 <= E_0"] = _start("C1b E0", E0, float(np.abs(x).sum()))
    nus, _, assumptions["nu_k >= ||G_k e||_inf for every k"] = _noise(form, x, y, nu, None)
    factor, mu0 = _classical(form, s)
    E = [E0]
    for k in range(form.depth):
        E.append(factor[k] * E[k] + s * (nus[k] + form.theta[k]))
    return _decide("C1b", form, x, y, assumptions, mu0 * E[:-1] + nus, E, 1)


def _classical(form: NormalForm, s: int) -> tuple[np.ndarray, np.ndarray]:
    """``eta_k + mu0_k (s - 1)`` and ``mu0_k``; a signal of no non-zeros needs neither."""
    R = np.abs(form.H)
    eta = np.diagonal(R, axis1=1, axis2=2).max(1)
    mu0 = (R * (1 - np.eye(R.shape[1]))).max((1, 2))
    return eta + mu0 * max(s - 1, 0), mu0


def _sparse(
    name: str, form: NormalForm, x: np.ndarray, y: np.ndarray, s: int | None
) -> tuple[np.ndarray, np.ndarray, int, dict[str, bool]]:
    x, y = signal(name, form, x), measurement(name, form, y)
    non_zeros = int(np.count_nonzero(x))
    s = non_zeros if s is None else s
    if s < 0:
        raise ValueError(f"{name} s: expected a number of non-zeros >= 0, got {s}")
    assumptions = {"the network is ISTA": form.form == "ista", SOFT: form.soft, "||x||_0 <= s": non_zeros <= s}
    return x, y, s, assumptions


def _noise(
    form: NormalForm, x: np.ndarray, y: np.ndarray, nu: np.ndarray | None, inside: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, bool]:
    """nu_k for the predicate and for the recursion, and whether a given one bounds ``||G_k e||_inf``."""
    seen = form.A @ x
    found = np.abs(form.G @ (y - seen))
    if nu is not None:
        nus = np.asarray(nu, np.float64)
        if nus.shape != (form.depth,) or (nus < 0).any():
            raise ValueError(f"nu: expected {form.depth} bounds >= 0, got {nu}")
        size = float(form.G_norms.max()) * max(float(norms(y)), float(norms(seen)))
        met = bool(at_most(found.max(1), nus, size).all())
        nus = np.maximum(nus, found.max(1)) if met else nus  # met up to rounding: the bound is for what was found
        return nus, nus, met
    if inside is not None:
        return found[:, ~inside].max(1, initial=0.0), found[:, inside].max(1, initial=0.0), True
    return found.max(1), found.max(1), True


def _decide(
    name: str,
    form: NormalForm,
    x: np.ndarray,
    y: np.ndarray,
    assumptions: dict[str, bool],
    least: np.ndarray,
    E: list[float],
    order: float,
) -> Report:
    """Predicate on the thresholds, measurement at every layer, and the other half of the claim: no false support."""
    assumptions["theta_k >= mu_k E_k + nu_k for every k"] = bool(at_most(least, form.theta).all())
    path = run(form, y)
    errors, trivial = norms(path.x - x, order), float(norms(x, order))
    size = np.maximum(path.sizes(order), trivial)
    report = upper_bound(name, E[-1], errors[-1], trivial, assumptions, size=size, bounds=E, measurements=errors)
    outside = np.abs(path.u[:, x == 0]).max(axis=1, initial=0.0)  # within theta_k: thresholded to 0
    checked = zip(outside, form.theta, size[1:], strict=True)
    false_support = any(exceeds(float(u), float(theta), float(scale)) for u, theta, scale in checked)
    if report.status == "holds" and false_support:
        return replace(report, status="violated")
    return report


def _start(what: str, E0: float | None, found: float) -> tuple[float, bool]:
    """E_0, the signal's own where none is given, and whether it bounds the signal."""
    if E0 is None:
        return found, True
    if E0 < 0:
        raise ValueError(f"{what}: expected >= 0, got {E0}")
    met = bool(at_most(found, E0))
    return max(float(E0), found) if met else float(E0), met
