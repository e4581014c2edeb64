"""G3c: a certificate of the network whose signs are flipped at random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.certificate import certificate, checked_sample
from unrollbit.theory.generalization.divergence import kl, klinv
from unrollbit.theory.generalization.losses import clipped_losses
from unrollbit.theory.generalization.occam import scaled_risk
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Pairs, Sample
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable
from unrollbit.theory.sensitivity.flips import flipped, random_bit_errors
from unrollbit.theory.trajectory import recover

_MINIBATCH = 100
PRIORS = tuple(2.0**-j for j in range(1, 9))


def flip_divergence(
    entries: Sequence[int], flips: Sequence[int], scalars: int, q: float, p0: float, *, width: int = 32
) -> float:
    """KL of posterior and prior, nats: ``sum over signs [kl(q || p0) if unflipped else kl(1 - q || p0)]`` plus
    ``width ln 2`` per scalar and ``ln 8`` for the choice of p0.

    Prior: every sign differs from ``sign(A)`` with probability p0. Posterior: every learned sign is flipped with q.
    """
    if len(entries) != len(flips) or any(not 0 <= f <= P for P, f in zip(entries, flips, strict=True)):
        raise ValueError(f"flip_divergence: expected 0 <= flips <= entries per matrix, got {flips} and {entries}")
    if p0 not in PRIORS:
        raise ValueError(f"flip_divergence: expected p0 in 2^-1 .. 2^-8, got {p0}")
    P, f = sum(entries), sum(flips)
    signs = (P - f) * kl(q, p0) + f * kl(1 - q, p0)
    return signs + width * scalars * math.log(2) + math.log(len(PRIORS))


@theorem(
    "generalization",
    "random flips, PAC-Bayes",
    "risk",
    on=Sample,
    examine=lambda at: _flipped_at_random(at),
    certainty="probable",
    meaning="with random bit errors the risk on new signals is at most {bound:.3g}",
)
def G3c(
    draws: Float[np.ndarray, " T"],
    entries: Sequence[int],
    flips: Sequence[int],
    scalars: int,
    *,
    N: int,
    q: float,
    tried: int = 1,
    width: int = 32,
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """PAC-Bayes bound of the risk over random flips: ``R_Gibbs <= B klinv(up / B, (KL + ln(4 sqrt(N) / delta)) / N)``,
    ``up = B klinv(mean of draws, ln(2 |Q| / delta) / T)``, for the best prior p0 of 2^-1 .. 2^-8.

    Args:
        draws: losses of T independent draws: a random flip of the learned signs on random training pairs, drawn with
            replacement (of each minibatch, its mean).
        entries, flips: of every stored matrix, its signs and how many of the learned ones differ from ``sign(A)``.
        N: number of training pairs.
        q: probability of a flip in the posterior.
        tried: |Q|, how many q were tried.
        test_losses: fresh losses, each with a flip of its own.

    Source: McAllester 1999; Maurer, "A note on the PAC Bayesian theorem", 2004.
    """
    values, assumptions = checked_sample("G3c", draws, 0.0, delta, B)
    if not 0 <= q <= 1 or tried < 1 or N < 1:
        raise ValueError(f"G3c: expected 0 <= q <= 1, tried >= 1 and N >= 1, got {q}, {tried} and {N}")
    divergence = min(flip_divergence(entries, flips, scalars, q, p0, width=width) for p0 in PRIORS)
    up = klinv(scaled_risk(values, B), math.log(2 * tried / delta) / len(values))
    bound = B * klinv(up, (divergence + math.log(4 * math.sqrt(N) / delta)) / N)
    assumptions |= {"N >= 8": N >= 8}
    return certificate("G3c", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)


def _flipped_at_random(at: Sample) -> Report:
    """Minibatch losses of networks with random flips, on the training set and on fresh signals."""
    assumptions = {
        "its signs have the reference sign(A)": bool(at.code.entries),
        "a flipped sign changes no other entry of its matrices": at.code.apart,
        "its matrices are one-bit with a single magnitude per layer": at.form.magnitudes is not None,
    }
    if not all(assumptions.values()):
        return not_applicable("G3c", assumptions)
    draws, fresh = (np.array(list(_draws(at, pairs, offset))) for offset, pairs in enumerate(at.pairs))
    code, settings = at.code, at.settings
    report = G3c(
        draws,
        code.entries,
        code.flips,
        code.scalars,
        N=len(at.pairs[0].x),
        q=settings.rate,
        delta=settings.delta,
        test_losses=fresh,
    )
    return at.judged(report)


def _draws(at: Sample, pairs: Pairs, offset: int) -> Iterator[float]:
    random = np.random.RandomState(at.settings.seeded(offset))
    for draw in range(at.settings.draws):
        (flips,) = random_bit_errors(at.form, at.settings.rate, 1, at.settings.seeded(offset + 7919 * (draw + 1)))
        rows = random.randint(0, len(pairs.x), _MINIBATCH)
        yield float(clipped_losses(recover(flipped(at.form, flips), pairs.y[rows]), pairs.x[rows], at.c).mean())
