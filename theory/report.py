"""What a checked theorem reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

Status = Literal["holds", "violated", "not applicable"]

_RELATIVE, _ABSOLUTE = 1e-9, 1e-11  # rounding of float64; never widened to make a theorem pass


@dataclass(frozen=True)
class Report:
    """One theorem on one instance.

    ``tightness`` is measured / bound for an upper bound, bound / measured for a lower one, None for 0 / 0 and where
    nothing was measured. ``vacuous`` says that the bound is true and no better than the trivial one. ``assumptions``
    gives each assumption in words and whether it is met; one that is not makes the theorem not applicable, which is
    never a pass. ``bounds`` and ``measurements`` hold both for every layer where the theorem speaks of layers.
    ``trivial`` is the bound that costs nothing: the size of the signal, of the output, the risk of the zero estimate.
    """

    theorem: str
    status: Status
    bound: float | None
    measured: float | None
    tightness: float | None
    assumptions: dict[str, bool]
    vacuous: bool
    bounds: tuple[float, ...] | None = None
    measurements: tuple[float, ...] | None = None
    trivial: float | None = None

    @property
    def relative(self) -> float | None:
        """bound / ``trivial``: of an upper bound, below 1 where it says something; None where nothing is trivial."""
        if self.bound is None or self.trivial is None or not 0 < self.trivial < np.inf:
            return None
        return self.bound / self.trivial


def exceeds(measured: float, bound: float) -> bool:
    """Whether a measurement violates an upper bound in float64 (NaN does)."""
    return not measured <= bound * (1 + _RELATIVE) + _ABSOLUTE


def upper_bound(
    theorem: str,
    bound: float,
    measured: float | None,
    trivial: float,
    assumptions: Mapping[str, bool] | None = None,
    *,
    bounds: Sequence[float] | Float[np.ndarray, " K"] | None = None,
    measurements: Sequence[float] | Float[np.ndarray, " K"] | None = None,
) -> Report:
    """Report of the statement ``measured <= bound``, and of ``measurements <= bounds`` at every layer.

    ``trivial`` is the value below which a bound says something (infinity: it always does).
    """
    assumptions = dict(assumptions or {})
    if not all(assumptions.values()):
        return not_applicable(theorem, assumptions, measured)
    pairs = [] if measured is None else [(measured, bound)]
    if bounds is not None and measurements is not None:
        pairs += zip(measurements, bounds, strict=True)
    violated = any(exceeds(float(value), float(limit)) for value, limit in pairs)
    tightness = None if measured is None or bound == 0 else float(measured / bound)
    return Report(
        theorem,
        "violated" if violated else "holds",
        float(bound),
        None if measured is None else float(measured),
        tightness,
        assumptions,
        not bound < trivial,
        None if bounds is None else tuple(map(float, bounds)),
        None if measurements is None else tuple(map(float, measurements)),
        float(trivial),
    )


def lower_bound(
    theorem: str, bound: float, measured: float | None, trivial: float, assumptions: Mapping[str, bool] | None = None
) -> Report:
    """Report of the statement ``measured >= bound``; a bound that is not above ``trivial`` says nothing."""
    assumptions = dict(assumptions or {})
    if not all(assumptions.values()):
        return not_applicable(theorem, assumptions, measured)
    violated = measured is not None and exceeds(bound, measured)
    tightness = None if measured is None or measured == 0 else float(bound / measured)
    found = None if measured is None else float(measured)
    status: Status = "violated" if violated else "holds"
    return Report(theorem, status, float(bound), found, tightness, assumptions, not bound > trivial)


def equality(
    theorem: str,
    expected: float,
    measured: float,
    assumptions: Mapping[str, bool] | None = None,
    *,
    bounds: Sequence[float] | Float[np.ndarray, " K"] | None = None,
    measurements: Sequence[float] | Float[np.ndarray, " K"] | None = None,
) -> Report:
    """Report of the statement ``measured == expected``, of ``measurements == bounds`` at every layer; never vacuous."""
    over = upper_bound(theorem, expected, measured, np.inf, assumptions, bounds=bounds, measurements=measurements)
    under = upper_bound(theorem, measured, expected, np.inf, assumptions, bounds=measurements, measurements=bounds)
    return replace(over, status="violated") if under.status == "violated" else over


def not_applicable(theorem: str, assumptions: Mapping[str, bool], measured: float | None = None) -> Report:
    """Report of a theorem of which an assumption is not met."""
    found = None if measured is None else float(measured)
    return Report(theorem, "not applicable", None, found, None, dict(assumptions), False)
