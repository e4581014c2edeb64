"""What the certificates share: their confidence, and how a measured risk is held against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from unrollbit.theory.generalization.gap import half_width
from unrollbit.theory.generalization.losses import checked_losses
from unrollbit.theory.generalization.protocol import Protocol
from unrollbit.theory.report import Report, upper_bound

TEST_LEVEL = 0.05  # of the interval of a measured risk; the theorem's own delta is another matter


def certificate(
    theorem: str,
    bound: float,
    assumptions: Mapping[str, bool],
    protocol: Protocol,
    *,
    B: float,
    test_losses: Float[np.ndarray, " Nt"] | None,
    test_risk: float | None,
) -> Report:
    """Report of ``R <= bound``. It is violated iff ``R_test`` minus the half width of G0 exceeds the bound.

    ``test_risk`` is an exact risk, which has no half width. ``measured`` is R_test, and the trivial value the clipped
    risk of the zero estimate, ``min(B, 1)``. Raises ``ValueError`` where both are given.
    """
    if test_losses is not None and test_risk is not None:
        raise ValueError("certificate: expected test_losses or, where it is exact, test_risk; got both")
    assumptions = {**assumptions, **protocol.training()}
    risk, error = test_risk, 0.0
    if test_losses is not None:
        values, inside = checked_losses("test_losses", test_losses, B)
        risk, error = float(values.mean()), half_width(values, B=B, level=TEST_LEVEL)
        assumptions |= {"test losses lie in [0, B]": inside, **protocol.test()}
    held = None if risk is None else risk - error
    report = upper_bound(theorem, bound, held, min(B, 1.0), assumptions, size=B)
    if risk is None:
        return report
    tightness = None if report.bound is None or bound == 0 else risk / bound
    return replace(report, measured=float(risk), tightness=tightness)


def checked_sample(
    theorem: str, losses: Float[np.ndarray, "*shape"], bits: float, delta: float, B: float, ndim: int = 1
) -> tuple[Float[np.ndarray, "*shape"], dict[str, bool]]:
    """Training losses in float64 and the assumption that arrays show; raises ``ValueError`` for arguments out of
    range.
    """
    values, inside = checked_losses(theorem, losses, B, ndim)
    if not 0 < delta < 1 or not 0 <= bits < np.inf:
        raise ValueError(f"{theorem}: expected 0 < delta < 1 and finite bits >= 0, got {delta} and {bits}")
    return values, {"losses lie in [0, B]": inside}
