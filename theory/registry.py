"""The theorems that there are: each registers itself where it is written, and is then examined, listed and drawn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from unrollbit.theory.report import Report

Instance = TypeVar("Instance")
Certainty = Literal["proven", "probable", "limit"]
Function = TypeVar("Function", bound=Callable[..., Any])

_ORDER = ("prediction", "stability", "sensitivity", "convergence", "generalization")  # of tables; other families follow
_registered: dict[str, Theorem[Any]] = {}


@dataclass(frozen=True)
class Theorem(Generic[Instance]):
    """What is known of a theorem: see ``theorem``."""

    name: str
    family: str
    summary: str
    quantity: str
    on: type[Instance]
    examine: Callable[[Instance], Report | Iterable[Report]]
    certainty: Certainty
    meaning: str
    defined: tuple[str, str]

    def reports(self, instance: Instance) -> Iterator[Report]:
        """Check the theorem on an instance."""
        found = self.examine(instance)
        yield from (found,) if isinstance(found, Report) else found  # what ``examine`` may give: one, or several


def theorem(
    family: str,
    summary: str,
    quantity: str,
    *,
    on: type[Instance],
    examine: Callable[[Instance], Report | Iterable[Report]],
    certainty: Certainty = "proven",
    meaning: str = "",
) -> Callable[[Function], Function]:
    """Register the decorated function as the theorem of its name. Nothing else has to be touched.

    Args:
        family: heading under which the theorem is listed.
        summary: what it says, in a line.
        quantity: what bound and measurement are values of.
        on: what it is checked on: ``Signal`` (every signal and its measurements), ``Attacked`` (as many of them as
            ``Settings.attacked``), ``Moved`` (with perturbed measurements), ``Perturbed`` (with perturbed networks),
            ``Physics`` (once), ``Sample`` (training and test signals) or ``HeldOut`` (fresh signals).
        examine: makes its report, or reports, of one such instance. Their ``theorem`` is the name of the function.
        certainty: "proven" (a violation is a defect), "probable" (it holds with probability 1 - delta) or "limit" (of
            many unknowns: at finite sizes it can be off).
        meaning: what it tells a user, a format string of the fields of ``Summary``; empty: the summary.

    Raises:
        ValueError: another theorem has this name.

    Example:
        >>> import numpy as np
        >>> from unrollbit.theory import Report, Signal, audit, theorem
        >>> from unrollbit.theory.random_forms import random_form, sparse_signals
        >>> from unrollbit.theory.report import upper_bound
        >>> from unrollbit.theory.trajectory import recover
        >>> @theorem("size", "no estimate is above 9 ||y||", "norm", on=Signal, examine=lambda at: X1(at.form, at.y))
        ... def X1(form, y) -> Report:
        ...     return upper_bound("X1", 9 * np.linalg.norm(y), np.linalg.norm(recover(form, y)), np.inf)
        >>> form = random_form("ista", 0)
        >>> x, y, _ = sparse_signals(form, 0, 1)
        >>> [report.status for report in audit.deterministic(form, x, y, audit.Settings()) if report.theorem == "X1"]
        ['holds']
        >>> unregister("X1")
    """

    def register(function: Function) -> Function:
        name, defined = function.__name__, (function.__module__, function.__qualname__)
        other = _registered.get(name)
        if other is not None and other.defined != defined:
            raise ValueError(f"theorem {name}: {other.defined[0]} already has one of this name; expected another name")
        _registered[name] = Theorem(
            name, family, summary, quantity, on, examine, certainty, meaning or summary, defined
        )
        return function

    return register


def unregister(name: str) -> None:
    """Forget a theorem, of a test say."""
    del _registered[name]


def theorems() -> dict[str, Theorem[Any]]:
    """All theorems by name, in the order of tables: by family, then by name."""
    return {each.name: each for each in sorted(_registered.values(), key=_place)}


def known(name: str) -> Theorem[Any]:
    """The theorem of a name; raises ``ValueError`` where there is none."""
    if name not in _registered:
        raise ValueError(f"unknown theorem {name!r}; expected one of {', '.join(theorems())}")
    return _registered[name]


def examined(instance: object) -> Iterator[Report]:
    """Reports of all theorems that are checked on instances of this type."""
    for each in theorems().values():
        if each.on is type(instance):
            yield from each.reports(instance)


def _place(entry: Theorem[Any]) -> tuple[int, str, str, int, str]:
    rank = _ORDER.index(entry.family) if entry.family in _ORDER else len(_ORDER)
    letters, number, rest = re.fullmatch(r"(\D*)(\d*)(.*)", entry.name).groups()  # type: ignore[union-attr]
    return rank, entry.family if rank == len(_ORDER) else "", letters, int(number or 0), rest
