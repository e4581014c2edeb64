"""Many instances of a theorem in one row."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrollbit.theory.registry import known, theorems
from unrollbit.theory.report import Report, Status

_FIRST: tuple[Status, ...] = ("violated", "holds", "not measured", "not applicable")  # the status of many reports


@dataclass(frozen=True)
class Summary:
    """One theorem over ``instances`` reports.

    ``violated`` if any instance is, ``not applicable`` if all are, ``not measured`` if a bound was compared in none.
    ``bound``, ``relative`` (bound / trivial bound), ``measured`` and ``tightness`` are medians over the ``applicable``
    instances alone, which may be the easiest ones, ``share`` is the least of them: ``applies`` says how many they are.
    ``vacuous`` says whether more than half of them are; ``bounds`` and ``measurements`` are medians per layer. An
    assumption counts as met if it is in every instance; ``unmet`` gives the others in words.
    """

    theorem: str
    status: Status
    bound: float | None
    measured: float | None
    tightness: float | None
    vacuous: bool
    assumptions: dict[str, bool]
    instances: int
    applicable: int
    vacuous_instances: int
    violated_instances: int
    largest_tightness: float | None
    unmet: str
    relative: float | None = None
    bounds: tuple[float, ...] | None = None
    measurements: tuple[float, ...] | None = None
    share: float | None = None

    @property
    def family(self) -> str:
        """Prediction, stability, sensitivity, convergence, generalization, or one of a user's own."""
        return known(self.theorem).family

    @property
    def applies(self) -> str:
        """``applicable / instances``, to be shown beside every median."""
        return f"{self.applicable} / {self.instances}"

    @property
    def informative(self) -> float | None:
        """Share of the applicable instances in which the bound says more than what holds without a network."""
        return (self.applicable - self.vacuous_instances) / self.applicable if self.applicable else None

    @property
    def meaning(self) -> str:
        """What the row tells a user, in words."""
        if not self.applicable:
            return f"not met: {self.unmet}"
        if self.vacuous and self.status != "violated":
            return "true, but no better than knowing nothing"
        known_values = {name: math.nan if value is None else value for name, value in vars(self).items()}
        words = known(self.theorem).meaning.format(**known_values)
        return f"off here: {words}" if self.status == "violated" else words

    def row(self) -> dict[str, Any]:
        """JSON-able form."""
        entry = known(self.theorem)
        words = {"family": entry.family, "statement": entry.summary, "quantity": entry.quantity}
        own = {name: value for name, value in vars(self).items() if name != "theorem"}
        return {"theorem": self.theorem, **words, **own, "informative": self.informative, "meaning": self.meaning}


def summarise(reports: Iterable[Report]) -> list[Summary]:
    """One summary per theorem, in the order of ``theorems()``. Raises ``ValueError`` for an unknown theorem."""
    grouped: dict[str, list[Report]] = {}
    for report in reports:
        grouped.setdefault(known(report.theorem).name, []).append(report)
    return [_one(name, grouped[name]) for name in theorems() if name in grouped]


def _one(theorem: str, reports: Sequence[Report]) -> Summary:
    used = [report for report in reports if report.status != "not applicable"]
    violated = sum(report.status == "violated" for report in used)
    vacuous = sum(report.vacuous for report in used)
    ratios = [report.tightness for report in used if report.tightness is not None]
    words = dict.fromkeys(word for report in reports for word in report.assumptions)
    failures = Counter(word for report in reports for word, met in report.assumptions.items() if not met)
    many = len(reports) > 1
    unmet = "; ".join(
        word + (f" ({count} of {len(reports)})" if many and count < len(reports) else "")
        for word, count in failures.items()
    )
    return Summary(
        theorem,
        _FIRST[min(_FIRST.index(report.status) for report in reports)],
        _median([report.bound for report in used]),
        _median([report.measured for report in used]),
        _median(ratios),
        vacuous > len(used) / 2,
        {word: word not in failures for word in words},
        len(reports),
        len(used),
        vacuous,
        violated,
        max(ratios, default=None),
        unmet,
        _median([report.relative for report in used]),
        _per_layer([report.bounds for report in used]),
        _per_layer([report.measurements for report in used]),
        min((report.share for report in used if report.share is not None), default=None),
    )


def _median(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(np.median(present)) if present else None


def _per_layer(rows: Sequence[tuple[float, ...] | None]) -> tuple[float, ...] | None:
    present = [row for row in rows if row is not None]
    if not present or len({len(row) for row in present}) > 1:
        return None
    return tuple(float(value) for value in np.median(np.array(present), axis=0))


def by_use(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """Rows by family: families that say most first, and in each of them the rows that say something first."""
    families: dict[str, list[Summary]] = {}
    for row in summaries:
        families.setdefault(row.family, []).append(row)
    said = {name: sum(_speaks(row) for row in rows) / len(rows) for name, rows in families.items()}
    order = sorted(families, key=lambda name: said[name] == 0)
    return {name: sorted(families[name], key=lambda row: (not row.applicable, row.vacuous)) for name in order}


def _speaks(row: Summary) -> bool:
    return row.applicable > 0 and not row.vacuous
