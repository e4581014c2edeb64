"""G4: of two networks that fit alike, the one of fewer bits has the better certificate, and keeps even the other's."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.certificate import certificate, checked_sample
from unrollbit.theory.generalization.divergence import klinv
from unrollbit.theory.generalization.occam import occam_width, scaled_risk
from unrollbit.theory.generalization.protocol import DECLARED, Protocol
from unrollbit.theory.generalization.sample import Sample
from unrollbit.theory.numerics import at_most
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, exceeds


def dominance_margin(bits: float, larger: float, N: int, *, delta: float = 0.05, B: float = 1.0) -> float:
    """``w(larger) - w(bits)``: by how much the network of fewer bits may fit worse and still have the smaller G1.

    Example:
        >>> round(dominance_margin(8832, 262_784, 100_000), 3)
        0.779
    """
    return occam_width(larger, N, delta=delta, B=B) - occam_width(bits, N, delta=delta, B=B)


@theorem(
    "generalization",
    "fewer bits, smaller certificate than in float32",
    "risk",
    on=Sample,
    examine=lambda at: _against_float32(at),
    certainty="probable",
    meaning="few bits certify a risk lower than floats do, by {bound:.3g}",
)
def G4(
    losses: Float[np.ndarray, " N"],
    bits: float,
    larger_losses: Float[np.ndarray, " N"],
    larger_bits: float,
    *,
    variant: Literal["occam", "kl"] = "occam",
    delta: float = 0.05,
    B: float = 1.0,
    test_losses: Float[np.ndarray, " Nt"] | None = None,
    test_risk: float | None = None,
    protocol: Protocol = DECLARED,
) -> Report:
    """The risk of the network of ``bits`` is at most the certificate of the one of ``larger_bits``.

    Both are trained on the same N pairs. ``occam`` (G1) allows a larger training risk by up to ``dominance_margin``;
    ``kl`` (G3a) asks for an equal or smaller one. Proof: certificates increase in risk and bits, so that of the network
    of fewer bits is the smaller one, and its risk is at most that. Measured is its risk on fresh signals
    (``test_losses`` or ``test_risk``, as in ``G1``). Violated too if its certificate is not the smaller one.
    """
    values, assumptions = checked_sample("G4", losses, bits, delta, B)
    others, inside = checked_sample("G4", larger_losses, larger_bits, delta, B)
    N = len(values)
    if len(others) != N or variant not in ("occam", "kl"):
        raise ValueError(
            f"G4: expected {N} losses of each network and variant occam or kl, got {len(others)}, {variant!r}"
        )
    assumptions = {
        "losses lie in [0, B]": assumptions["losses lie in [0, B]"] and inside["losses lie in [0, B]"],
        "it has fewer bits": bits < larger_bits,
    }
    risk, other = scaled_risk(values, B), scaled_risk(others, B)
    if variant == "occam":
        margin = dominance_margin(bits, larger_bits, N, delta=delta, B=B)
        assumptions["its training risk is larger by at most w(larger bits) - w(bits)"] = bool(
            at_most(B * (risk - other), margin, B)
        )
        own, bound = (B * r + occam_width(b, N, delta=delta, B=B) for r, b in ((risk, bits), (other, larger_bits)))
    else:
        assumptions["its training risk is no larger"] = risk <= other
        log = math.log(1 / delta)
        own, bound = (B * klinv(r, (b * math.log(2) + log) / N) for r, b in ((risk, bits), (other, larger_bits)))
    report = certificate("G4", bound, assumptions, protocol, B=B, test_losses=test_losses, test_risk=test_risk)
    larger = report.bound is not None and exceeds(own, bound, B)
    return replace(report, status="violated") if larger else report


def _against_float32(at: Sample) -> Report:
    """The network against itself with 32 bits for every stored weight: the certificate that one bit saves it from."""
    bits, more = at.code.bits, at.code.float32_bits
    return at.judged(G4(at.losses, bits, at.losses, more, delta=at.settings.delta, test_losses=at.test))
