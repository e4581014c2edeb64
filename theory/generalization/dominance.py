"""G4: of two networks that fit alike, the one of fewer bits has the better certificate."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.certificate import checked_sample
from unrollbit.theory.generalization.divergence import klinv
from unrollbit.theory.generalization.occam import occam_width, scaled_risk
from unrollbit.theory.report import Report, upper_bound


def dominance_margin(bits: float, larger: float, N: int, *, delta: float = 0.05, B: float = 1.0) -> float:
    """``w(larger) - w(bits)``: by how much the network of fewer bits may fit worse and still have the smaller G1.

    Example:
        >>> round(dominance_margin(8832, 262_784, 100_000), 3)
        0.779
    """
    return occam_width(larger, N, delta=delta, B=B) - occam_width(bits, N, delta=delta, B=B)


def G4(
    losses: Float[np.ndarray, " N"],
    bits: float,
    larger_losses: Float[np.ndarray, " N"],
    larger_bits: float,
    *,
    variant: Literal["occam", "kl"] = "occam",
    delta: float = 0.05,
    B: float = 1.0,
) -> Report:
    """The certificate of the network of ``bits`` (measured) is at most that of the one of ``larger_bits`` (bound).

    Both are trained on the same N pairs. ``occam`` (G1) allows a larger training risk by up to ``dominance_margin``;
    ``kl`` (G3a) asks for an equal or smaller one. It compares certificates, which increase in risk and bits, and not
    true risks, so it holds whether or not either certificate says something.
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
        assumptions["its training risk is larger by at most w(larger bits) - w(bits)"] = B * (risk - other) <= margin
        certificates = [B * r + occam_width(b, N, delta=delta, B=B) for r, b in ((risk, bits), (other, larger_bits))]
    else:
        assumptions["its training risk is no larger"] = risk <= other
        log = math.log(1 / delta)
        certificates = [B * klinv(r, (b * math.log(2) + log) / N) for r, b in ((risk, bits), (other, larger_bits))]
    return upper_bound("G4", certificates[1], certificates[0], math.inf, assumptions)
