"""What can be said of each packed network: every theorem, by family; held-out certificates and how long they take."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from unrollbit.cli.arguments import add_data
from unrollbit.cli.networks import problem_of
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies import shelf
from unrollbit.cli.tables import print_table
from unrollbit.cli.theorem_table import draw_signals, every_theorem
from unrollbit.packed import load
from unrollbit.theory import audit
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary, summarise

FAMILIES = ("prediction", "stability", "sensitivity", "convergence", "generalization")
_HELD_OUT = "H2"  # with which H1 and H2 are known: reports come in the order of their names
_SIGNALS, _QUICK = 20, 4
_NOTES = (
    "families: those of the five in which a statement applies and says more than what holds without a network, with",
    "the number of such statements. H1: that share of signals ends below it (confidence 95 %). H2: share of fresh",
    "signals inside error bars that were made for 90 %, and the median of error / bar. E1: largest distance of",
    "predicted from measured NMSE over layers, where it applies. s: until H1 and H2 are known.",
)


class _Task(NamedTuple):
    """A packed network, and where the data of its problem lies."""

    name: str
    file: Path
    data: Path | None
    signals: int
    settings: audit.Settings
    folder: Path

    @property
    def kept(self) -> Path:
        """The file of its row: a name of its own for all that the row depends on."""
        content = hashlib.sha256(self.file.read_bytes()).hexdigest()
        data = "" if self.data is None else str(self.data.resolve())
        setting = json.dumps([content, data, self.signals, vars(self.settings)])
        return self.folder / f"{self.file.stem}-{hashlib.sha256(setting.encode()).hexdigest()[:16]}.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks, and their data."""
    shelf.add_arguments(parser)
    add_data(parser)


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Check every network, print the table; rows that the folder holds of the same file and settings are kept."""
    settings = audit.Settings(seed=1 + options.seed, **({"held_out": 200, "sample": 500} if options.quick else {}))
    signals = _QUICK if options.quick else _SIGNALS
    files = shelf.network_files(options.networks)
    (out / "rows").mkdir(parents=True, exist_ok=True)
    tasks = [_Task(name, path, options.data, signals, settings, out / "rows") for name, path in files.items()]
    found = {row["network"]: row for row in in_parallel(checked, tasks, options.workers, _told, label="checking")}
    rows = [found[name] for name in files if "skipped" not in found[name]]
    skipped = [f"{name}: {found[name]['skipped']}" for name in files if "skipped" in found[name]]
    if not rows:
        raise ValueError("; ".join(skipped))
    show(rows, skipped)
    return {"rows": rows, "skipped": skipped, "settings": vars(settings), "signals": signals}


def checked(task: _Task) -> dict[str, Any]:
    """The row of a network; where the data of its problem is not at hand, or too little of it, why."""
    if task.kept.is_file():
        return json.loads(task.kept.read_text()) | {"network": task.name}
    begun = perf_counter()
    try:
        packed = load(task.file)
        problem = problem_of(packed, data=task.data)
        signals = draw_signals(problem, task.settings.seed, task.signals)
        found, _ = every_theorem(packed, problem, *signals, task.settings)
    except (ValueError, OSError) as error:
        return {"network": task.name, "skipped": str(error)}
    reports, seconds = [], None
    for report in found:
        reports.append(report)
        if report.theorem == _HELD_OUT:
            seconds = perf_counter() - begun
    row = {"network": task.name, "bytes": task.file.stat().st_size, **_said(summarise(reports)), **_held_out(reports)}
    row |= {"held_out_seconds": seconds, "seconds": perf_counter() - begun}
    part = task.kept.with_suffix(".part")
    part.write_text(json.dumps(row))
    part.replace(task.kept)  # whole, or not there
    return row


def _said(summaries: Sequence[Summary]) -> dict[str, Any]:
    """By family: the names of the statements that say something, and those of proven ones that are broken."""
    useful = {family: [] for family in FAMILIES}
    for row in summaries:
        if row.applicable and not row.vacuous and row.status == "holds":
            useful.setdefault(row.family, []).append(row.theorem)
    by_family = {f"{family}_statements": names for family, names in useful.items()}
    violated = [row.theorem for row in summaries if row.violated_instances]
    return {**by_family, "families": sum(bool(useful[family]) for family in FAMILIES), "violated": violated}


def _held_out(reports: Sequence[Report]) -> dict[str, Any]:
    """The figures of E1, H1 and H2."""
    found = {report.theorem: report for report in reports if report.theorem in ("E1", "H1", _HELD_OUT)}
    limit, bars, predicted = found.get("H1"), found.get(_HELD_OUT), found.get("E1")
    return {
        "limit_db": None if limit is None else limit.bound,
        "share": None if limit is None else limit.share,
        "level": None if bars is None else bars.bound,
        "coverage": None if bars is None else bars.measured,
        "tightness": None if bars is None else bars.tightness,
        "prediction_off_db": None if predicted is None else _distance(predicted),
    }


def _distance(report: Report) -> float | None:
    """Over layers; None where the theorem does not apply, and would be far off."""
    if report.status not in ("holds", "violated") or report.bounds is None or report.measurements is None:
        return None
    return float(np.max(np.abs(np.subtract(report.bounds, report.measurements))))


def _told(row: Mapping[str, Any]) -> str:
    said = row.get("skipped") or f"statements of {row['families']} families, {row['seconds']:.0f} s"
    return f"{row['network']}: {said}"


def show(rows: Sequence[Mapping[str, Any]], skipped: Sequence[str]) -> None:
    """The table."""
    columns = (
        "network",
        "families",
        "P",
        "S",
        "N",
        "C",
        "G",
        "H1 (dB)",
        "share",
        "H2 coverage",
        "error / bar",
        "E1 off",
        "s",
    )
    lines = []
    for row in rows:
        counts = [len(row[f"{family}_statements"]) for family in FAMILIES]
        figures = ("limit_db", "share", "coverage", "tightness", "prediction_off_db", "held_out_seconds")
        lines.append((row["network"], row["families"], *counts, *(row[key] for key in figures)))
    initials = "P, S, N, C, G: " + ", ".join(FAMILIES[:2]) + ", sensitivity (N), convergence, generalization."
    print_table("Statements about packed networks", columns, lines, (*_NOTES, initials, *skipped))
