"""What a checked theorem reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float

Status = Literal["holds", "violated", "not measured", "not applicable"]
Layers = Sequence[float] | Float[np.ndarray, " K"]

_OF_BOUND, _OF_SIZE = 1e-9, 1e-11  # rounding of float64; never widened to make a theorem pass
_GRID = float(np.finfo(np.float64).tiny)  # float64 has no relative precision below it


@dataclass(frozen=True)
class Report:
    """One theorem on one instance.

    ``status`` is ``not measured`` where a bound was computed and nothing compared with it, which is never a pass.
    ``tightness`` is measured / bound for an upper bound, bound / measured for a lower one, None for 0 / 0 and where
    nothing was measured. ``vacuous`` says that the bound is true and no better than the trivial one. ``assumptions``
    gives each assumption in words and whether it is met; one that is not makes the theorem not applicable, which is
    never a pass. ``bounds`` and ``measurements`` hold both for every layer where the theorem speaks of layers.
    ``trivial`` is the bound that costs nothing: the size of the signal, of the output, the risk of the zero estimate.
    ``share`` is the share of all signals that a tolerance limit speaks of.
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
    share: float | None = None

    @property
    def relative(self) -> float | None:
        """bound / ``trivial``: of an upper bound, below 1 where it says something; None where nothing is trivial."""
        if self.bound is None or self.trivial is None or not 0 < self.trivial < np.inf:
            return None
        return self.bound / self.trivial


def exceeds(measured: float, bound: float, size: float = 0.0) -> bool:
    """Whether a measurement violates an upper bound in float64 (NaN does).

    ``size`` is that of the numbers whose difference was measured: rounding is relative to them. The answer is the same
    in all units.
    """
    return not measured <= bound * (1 + _OF_BOUND) + size * _OF_SIZE + _GRID


def upper_bound(
    theorem: str,
    bound: float,
    measured: float | None,
    trivial: float,
    assumptions: Mapping[str, bool] | None = None,
    *,
    size: float | Layers = 0.0,
    bounds: Layers | None = None,
    measurements: Layers | None = None,
) -> Report:
    """Report of the statement ``measured <= bound``, and of ``measurements <= bounds`` at every layer.

    ``trivial`` is the value below which a bound says something (infinity: it always does). ``size`` is the largest
    norm among the numbers that were subtracted for a measurement, in all or at every layer: see ``exceeds``.
    """
    assumptions = dict(assumptions or {})
    if not all(assumptions.values()):
        return not_applicable(theorem, assumptions, measured)
    pairs = [] if measured is None else [(measured, bound, np.max(size))]
    if bounds is not None and measurements is not None:
        pairs += zip(measurements, bounds, np.broadcast_to(size, np.shape(bounds)), strict=True)
    tightness = None if measured is None or bound == 0 else float(measured / bound)
    return Report(
        theorem,
        _judged([exceeds(float(value), float(limit), float(scale)) for value, limit, scale in pairs]),
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
    theorem: str,
    bound: float,
    measured: float | None,
    trivial: float,
    assumptions: Mapping[str, bool] | None = None,
    *,
    size: float = 0.0,
) -> Report:
    """Report of the statement ``measured >= bound``; a bound that is not above ``trivial`` says nothing."""
    assumptions = dict(assumptions or {})
    if not all(assumptions.values()):
        return not_applicable(theorem, assumptions, measured)
    status = _judged([] if measured is None else [exceeds(bound, measured, size)])
    tightness = None if measured is None or measured == 0 else float(bound / measured)
    found = None if measured is None else float(measured)
    return Report(theorem, status, float(bound), found, tightness, assumptions, not bound > trivial)


def equality(
    theorem: str,
    expected: float,
    measured: float,
    assumptions: Mapping[str, bool] | None = None,
    *,
    size: float = 0.0,
    bounds: Layers | None = None,
    measurements: Layers | None = None,
) -> Report:
    """Report of the statement ``measured == expected``, of ``measurements == bounds`` at every layer; never vacuous."""
    over = upper_bound(
        theorem, expected, measured, np.inf, assumptions, size=size, bounds=bounds, measurements=measurements
    )
    under = upper_bound(
        theorem, measured, expected, np.inf, assumptions, size=size, bounds=measurements, measurements=bounds
    )
    return replace(over, status="violated") if under.status == "violated" else over


def _judged(violations: Sequence[bool]) -> Status:
    """The status of an applicable theorem from its comparisons."""
    if not violations:
        return "not measured"
    return "violated" if any(violations) else "holds"


def not_applicable(theorem: str, assumptions: Mapping[str, bool], measured: float | None = None) -> Report:
    """Report of a theorem of which an assumption is not met."""
    found = None if measured is None else float(measured)
    return Report(theorem, "not applicable", None, found, None, dict(assumptions), False)
