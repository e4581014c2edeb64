"""What a checked theorem reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["holds", "violated", "not applicable"]

_RELATIVE, _ABSOLUTE = 1e-9, 1e-11  # rounding of float64; never widened to make a theorem pass


@dataclass(frozen=True)
class Report:
    """One theorem on one instance.

    ``tightness`` is measured / bound for an upper bound, None for 0 / 0 and where nothing was measured. ``vacuous``
    says that the bound is true and no better than the trivial one. ``assumptions`` gives each assumption in words and
    whether it is met; one that is not makes the theorem not applicable, which is never a pass.
    """

    theorem: str
    status: Status
    bound: float | None
    measured: float | None
    tightness: float | None
    assumptions: dict[str, bool]
    vacuous: bool


def upper_bound(
    theorem: str, bound: float, measured: float | None, trivial: float, assumptions: dict[str, bool]
) -> Report:
    """Report of the statement ``measured <= bound``; ``trivial`` is the value below which a bound says something."""
    if not all(assumptions.values()):
        return Report(theorem, "not applicable", None, measured, None, assumptions, False)
    violated = measured is not None and measured > bound * (1 + _RELATIVE) + _ABSOLUTE
    tightness = None if measured is None or bound == 0 else measured / bound
    return Report(
        theorem, "violated" if violated else "holds", bound, measured, tightness, assumptions, bound >= trivial
    )
