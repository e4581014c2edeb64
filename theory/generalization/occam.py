"""G1, G3a, G3b: what a network of few bits can hide is little."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.certificate import certificate, checked_sample
from unrollbit.theory.generalization.divergence import klinv
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report

Losses = Float[np.ndarray, " N"]


def occam_width(bits: float, N: int, *, delta: float = 0.05, B: float = 1.0) -> float:
    """``w(b) = B sqrt((b ln 2 + ln(1 / delta)) / (2 N))``, the width of G1."""
    return B * math.sqrt((bits * math.log(2) + math.log(1 / delta)) / (2 * N))


@theorem(
    "generalization",
    "Occam: bits per training signal",
    "risk",
    on=Sample,
    examine=lambda at: _counted(G1, at),
    certainty="probable",
    meaning="on new signals the risk is at most {bound:.3g}",
)
def G1(
    losses: Losses,
    bits: float,
    *,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Occam bound: ``R <= R_train + B sqrt((b ln 2 + ln(1 / delta)) / (2 N))`` for all networks at once, with prob. 1
    - delta.

    Proof: Hoeffding's inequality at level ``delta 2^-b(h)`` for each network h, and Kraft's inequality for the code.

    Not measured without ``test_losses`` or ``test_risk``.

    Args:
        losses: training losses (N,) in [0, B].
        bits: code length b of the network, from ``network_code`` or ``code_length``.
        test_losses: fresh losses to compare with; the sampling error of their mean is allowed for.
        test_risk: in their place, an exact risk (a finite pool); no sampling error is allowed for.

    Example:
        >>> report = G1(np.zeros(12_300), 8832, test_losses=np.zeros(1000))
        >>> report.status, round(report.bound, 3)
        ('holds', 0.499)

    Source: Blumer et al., "Occam's razor", 1987; McAllester, "Some PAC-Bayesian theorems", 1999.
    """
    values, assumptions = checked_sample("G1", losses, bits, delta, B)
    bound = float(values.mean()) + occam_width(bits, len(values), delta=delta, B=B)
    return certificate("G1", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


@theorem(
    "generalization",
    "Occam-kl: the fast rate",
    "risk",
    on=Sample,
    examine=lambda at: _counted(G3a, at),
    certainty="probable",
    meaning="on new signals the risk is at most {bound:.3g}",
)
def G3a(
    losses: Losses,
    bits: float,
    *,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Occam-kl bound: ``R <= B klinv(R_train / B, (b ln 2 + ln(1 / delta)) / N)`` with probability 1 - delta.

    Proof: ``P(R_train <= R and kl(R_train || R) >= c) <= exp(-N c)`` for losses in [0, 1] (Chernoff), and Kraft. At
    zero training risk it decreases as 1 / N. Never looser than G1. Arguments as those of ``G1``.

    Source: Langford, "Tutorial on practical prediction theory", JMLR 2005.
    """
    values, assumptions = checked_sample("G3a", losses, bits, delta, B)
    c = (bits * math.log(2) + math.log(1 / delta)) / len(values)
    bound = B * klinv(scaled_risk(values, B), c)
    return certificate("G3a", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


@theorem(
    "generalization",
    "empirical Bernstein",
    "risk",
    on=Sample,
    examine=lambda at: _counted(G3b, at),
    certainty="probable",
    meaning="on new signals the risk is at most {bound:.3g}",
)
def G3b(
    losses: Losses,
    bits: float,
    *,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """Empirical Bernstein bound: ``R <= R_train + sqrt(2 V l / N) + 7 B l / (3 (N - 1))``, ``l = b ln 2 + ln(2 /
    delta)``.

    V is the unbiased sample variance of the losses. Holds for all networks at once with probability 1 - delta; G3a has
    been sharper on every network tried. Arguments as those of ``G1``.

    Source: Maurer, Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT 2009.
    """
    values, assumptions = checked_sample("G3b", losses, bits, delta, B)
    N, length = len(values), bits * math.log(2) + math.log(2 / delta)
    bound = math.inf
    if N >= 2:
        V = float(values.var(ddof=1))
        bound = float(values.mean()) + math.sqrt(2 * V * length / N) + 7 * B * length / (3 * (N - 1))
    assumptions |= {"N >= 2": N >= 2}
    return certificate("G3b", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


def scaled_risk(values: Losses, B: float) -> float:
    """``R_train / B`` in [0, 1]: the mean of equal losses may round to just above B."""
    return min(max(float(values.mean()) / B, 0.0), 1.0)


def _counted(certified: Callable[..., Report], at: Sample) -> Report:
    """The certificate of the network on its training set."""
    return at.judged(certified(at.losses, at.code.bits, delta=at.settings.delta, test_losses=at.test))
