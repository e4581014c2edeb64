"""G2: a bound for scalars of any precision, in which norms and depth enter only inside logarithms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.certificate import certificate, checked_sample
from unrollbit.theory.generalization.losses import clipped_losses
from unrollbit.theory.generalization.network_class import NetworkClass
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, finite, norms, spectral_norm
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.trajectory import recover

_EXACT = 30.0  # nats, above which rounding a number of cells up changes no digit
_GENEROUS = 30.0  # a class is this much wider than the physics' own steps and thresholds
RADII = 10.0 ** (-6 + np.arange(25) / 4)  # of the covers that are tried, fixed beforehand, in units of B / L


def covering_gap(
    nats: Callable[[float], float], N: int, *, lipschitz: float, delta: float = 0.05, B: float = 1.0
) -> float:
    """``min over eps of 2 L eps + B sqrt((nats(eps) + ln(1 / delta)) / (2 N))``, ``L eps / B`` = 1e-6 .. 1.

    ``nats(eps)`` is the logarithm of the size of an eps-cover and L the Lipschitz constant of the loss in the estimate.
    Nothing here depends on data, so that the best eps costs no confidence.
    """
    if N < 1 or not (lipschitz > 0 and 0 < delta < 1 and B > 0):
        raise ValueError(
            f"covering_gap: expected N >= 1, L, B > 0 and 0 < delta < 1; got {N}, {lipschitz}, {B}, {delta}"
        )
    log = math.log(1 / delta)
    unit = B / lipschitz  # of the estimates, in which nothing is absolute
    return min(B * (2 * r + math.sqrt((nats(r * unit) + log) / (2 * N))) for r in map(float, RADII))


def loss_lipschitz(c: float, B: float = 1.0) -> float:
    """``2 sqrt(B / c)``: Lipschitz constant of ``min(||x_hat - x||^2 / c, B)`` in the estimate."""
    if not (c > 0 and B > 0):
        raise ValueError(f"loss_lipschitz: expected c, B > 0, got {c} and {B}")
    return 2 * math.sqrt(B / c)


def dense_relu_nats(m: int, n: int, depth: int, *, Y: float, v: float, eps: float) -> float:
    """Size (log) of a cover of dense ReLU networks ``x_{k+1} = ReLU(V_k x_k)``, ``x_0 = y``, for comparison.

    Entries lie in [-v, v] and ``||V_k|| <= v``: ``sum_k d1 d2 ln ceil(max(1, 2 v g_k K / eps))`` with ``g_k = max(v,
    1)^{K-1-k} sqrt(d1 d2) Y v^k`` and (d1, d2) = (n, m), then (n, n).
    """
    if not (Y > 0 and v > 0 and eps > 0):
        raise ValueError(f"dense_relu_nats: expected Y, v and eps > 0, got {Y}, {v} and {eps}")
    total = 0.0
    for k in range(depth):
        d1, d2 = (n, m) if k == 0 else (n, n)
        gain = (depth - 1 - k) * math.log(max(v, 1.0)) + math.log(d1 * d2) / 2 + math.log(Y) + k * math.log(v)
        cells = math.log(2 * depth * v / eps) + gain  # by logarithms: products of norms leave float64
        if cells < _EXACT:
            exact = 2 * v * max(v, 1.0) ** (depth - 1 - k) * math.sqrt(d1 * d2) * Y * v**k * depth / eps
            cells = math.log(math.ceil(max(1.0, exact)))
        total += d1 * d2 * cells
    return total


def project(y: Float[np.ndarray, "*batch m"], Y: float) -> Float[np.ndarray, "*batch m"]:
    """``y min(1, Y / ||y||)``: Gaussian noise is unbounded, and G2 needs ``||y|| <= Y`` almost surely."""
    y = finite("project y", np.asarray(y, np.float64))
    sizes = norms(y)[..., None]
    return y * np.where(sizes > Y, Y / np.where(sizes > Y, sizes, 1.0), 1.0)


@theorem(
    "generalization",
    "covering numbers, real scalars",
    "risk",
    on=Sample,
    examine=lambda at: _covered(at),
    certainty="probable",
    meaning="on new signals the risk is at most {bound:.3g}",
)
def G2(
    form: NormalForm,
    losses: Float[np.ndarray, " N"],
    y: Float[np.ndarray, "N m"],
    *,
    c: float,
    Y: float,
    gamma_max: float,
    theta_max: float,
    projected: bool,
    cap: float | None = None,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Covering bound: ``R - R_train <= min over eps of 2 L eps + B sqrt((nats(eps) + ln(1/delta)) / (2 N))``.

    For all one-bit ISTA networks with real ``gamma_k`` in [0, gamma_max] and thresholds in [0, theta_max], not only
    those that 32 bits can name. ``nats`` is ``NetworkClass.one_bit_nats`` and ``L = 2 sqrt(B / c)``.

    Args:
        form: the network; its physics, mask and depth define the class.
        losses, y: training losses and the measurements that the network saw.
        c, B: constants of the loss.
        Y: limit of ``||y||``.
        projected: whether ``||y|| <= Y`` is sure for every measurement, not only for those in ``y``; see ``project``.
        cap: declared limit of ``||H_k||`` of all networks of the class, in place of ``1 + gamma_max beta ||A||``.

    Source: Kolmogorov, Tikhomirov 1959 (covers); the gains of the layers are those of the deviation bound N1.
    """
    values, assumptions = checked_sample("G2", losses, 0.0, delta, B)
    networks = NetworkClass.of(form, Y=Y, gamma_max=gamma_max, theta_max=theta_max, cap=cap)
    y = np.asarray(y, np.float64)
    if y.shape != (len(values), form.A.shape[0]) or not c > 0:
        raise ValueError(f"G2: expected y of shape {(len(values), form.A.shape[0])} and c > 0, got {y.shape} and {c}")
    assumptions |= networks.membership(form)
    assumptions |= {
        "||y|| <= Y on the training sample": bool(at_most(norms(y), Y).all()),
        "||y|| <= Y almost surely (measurements are projected)": projected,
        "Y, gamma_max, theta_max and the cap are fixed before the training data are seen": protocol.constant_fixed,
    }
    gap = covering_gap(networks.one_bit_nats, len(values), lipschitz=loss_lipschitz(c, B), delta=delta, B=B)
    bound = float(values.mean()) + gap
    return certificate("G2", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


def _covered(at: Sample) -> Report:
    """G2 for the network on measurements projected onto a ball; ball and class are functions of the physics."""
    form, c = at.form, at.c
    train, test = at.pairs
    stored = np.abs(form.A[form.mask])
    if not stored.any():
        return not_applicable("G2", {"the mask keeps entries of A other than 0": False})
    n = form.A.shape[1]
    Y = 4 * math.sqrt(c / n) * float(np.linalg.norm(form.A))  # 4 times the root mean square of ||A x||
    near, near_test = project(train.y, Y), project(test.y, Y)
    report = G2(
        form,
        clipped_losses(recover(form, near), train.x, c),
        near,
        c=c,
        Y=Y,
        gamma_max=_GENEROUS * float(stored.mean() / spectral_norm(form.A) ** 2),
        theta_max=_GENEROUS * math.sqrt(c / n),
        projected=True,
        delta=at.settings.delta,
        test_losses=clipped_losses(recover(form, near_test), test.x, c),
    )
    return at.judged(report)
