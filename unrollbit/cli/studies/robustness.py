"""What trained networks do on signals that they were not trained for: other sparsity, more noise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.networks import problem_of
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies.experiment import TEST_SEED, Row
from unrollbit.cli.studies.shelf import add_arguments, network_files
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.plots import accuracy_under_changes, save

__all__ = ["add_arguments", "run"]
AS_TRAINED, SPARSER, DENSER, NOISIER = "as trained", "0.5x sparsity", "1.5x sparsity", "noisier"
CONDITIONS = (AS_TRAINED, SPARSER, DENSER, NOISIER)
NOISE_STEP_DB, NOISELESS_SNR_DB = 5.0, 40.0
_PER_LAYER = ("nmse_db_per_layer", "nmse_db_mean_of_db_per_layer")
_NOTES = (
    "Nothing is trained: packed networks as they are, on fresh test signals of a changed problem with the same A.",
    "mean of dB: mean over signals of the NMSE of each; failures: share of signals worse than -20 dB. sparsity: share",
    f"of non-zeros, at most 1. noisier: {NOISE_STEP_DB:g} dB more noise; a network trained without noise has none to",
    f"raise and sees an SNR of {NOISELESS_SNR_DB:g} dB.",
)


@dataclass(frozen=True)
class _Task:
    name: str
    path: Path
    signals: int
    seed: int


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Measure, print the tables, draw the figure."""
    files = network_files(options.networks)
    skipped = {name: reason for name, path in files.items() if (reason := reason_to_skip(path)) is not None}
    signals, seed = 2000 if options.quick else 10_000, TEST_SEED + options.seed
    tasks = [_Task(name, path, signals, seed) for name, path in files.items() if name not in skipped]
    if not tasks:
        reasons = ", ".join(f"{name} ({reason})" for name, reason in skipped.items())
        raise ValueError(f"none of the networks can be given signals of another sparsity: {reasons}")
    done = {
        rows[0]["network"]: rows for rows in in_parallel(measure, tasks, options.workers, _summary, label="measuring")
    }
    found = [row for task in tasks for row in done[task.name]]
    show(found, skipped)
    levels = _by_network(found, "nmse_db_mean_of_db")
    noise = {row["network"]: {NOISIER: f"SNR {row['changed']['snr_db']:g} dB"} for row in found if _is_noisier(row)}
    save(accuracy_under_changes(levels, noise, xlabel="NMSE, mean of dB"), out / "figures" / "robustness")
    return {"rows": found, "skipped": skipped, "signals": signals, "test_seed": seed}


def reason_to_skip(path: Path) -> str | None:
    """Why a network cannot be given signals of another sparsity, or None."""
    problem = load(path).problem
    if problem is None:
        return "its file carries no problem"
    return None if "sparsity" in problem else f"{problem.get('kind')} has no sparsity"


def changes_of(problem: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What each condition changes in the spec of a problem; noise in dB of the signal-to-noise ratio."""
    sparsity, snr_db = problem["sparsity"], problem.get("snr_db")
    return {
        AS_TRAINED: {},
        SPARSER: {"sparsity": round(0.5 * sparsity, 12)},
        DENSER: {"sparsity": round(min(1.5 * sparsity, 1.0), 12)},
        NOISIER: {"snr_db": NOISELESS_SNR_DB if snr_db is None else snr_db - NOISE_STEP_DB},
    }


def measure(task: _Task) -> list[Row]:
    """A row for every condition of one network."""
    packed = load(task.path)
    assert packed.problem is not None
    m, n = packed.network.operator.shape
    sparsity, snr_db = packed.problem["sparsity"], packed.problem.get("snr_db")
    kind = " ".join(str(packed.problem[key]) for key in ("kind", "matrix") if key in packed.problem)
    noise = "no noise" if snr_db is None else f"SNR {snr_db:g} dB"
    common = {"network": task.name, "trained_on": f"{kind}, {m} x {n}, {100 * sparsity:g} % non-zero, {noise}"}
    rows = []
    for condition, changes in changes_of(packed.problem).items():
        problem = problem_of(packed, changes)
        x, y, _ = draw_test(problem, task.seed, task.signals)
        figures = accuracy(packed.network, problem, x, y)
        kept = {key: value for key, value in figures.items() if key not in _PER_LAYER}
        rows.append({**common, "noiseless": snr_db is None, "condition": condition, "changed": changes, **kept})
    return rows


def show(rows: Sequence[Row], skipped: Mapping[str, str]) -> None:
    """Mean of dB and share of failures of every network under every condition."""
    levels, failed = _by_network(rows, "nmse_db_mean_of_db"), _by_network(rows, "failures")
    first = {row["network"]: row for row in rows if row["condition"] == AS_TRAINED}
    noise = {row["network"]: noise_text(row) for row in rows if _is_noisier(row)}
    columns = ("network", "trained on", *CONDITIONS, "noisier is")
    lines = [(name, first[name]["trained_on"], *found.values(), noise[name]) for name, found in levels.items()]
    print_table("Robustness: mean of dB", columns, lines)
    shares = [(name, *(f"{round(100 * share, 3):g} %" for share in found.values())) for name, found in failed.items()]
    notes = [*_NOTES, *(f"skipped: {name} ({reason})" for name, reason in skipped.items())]
    print_table("Robustness: failures", ("network", *CONDITIONS), shares, notes)


def noise_text(row: Row) -> str:
    """What "noisier" is for the network of a row."""
    before = "trained without noise" if row["noiseless"] else f"{NOISE_STEP_DB:g} dB more noise"
    return f"SNR {row['changed']['snr_db']:g} dB ({before})"


def _is_noisier(row: Row) -> bool:
    return row["condition"] == NOISIER


def _by_network(rows: Sequence[Row], key: str) -> dict[str, dict[str, float]]:
    names = dict.fromkeys(row["network"] for row in rows)
    return {name: {row["condition"]: row[key] for row in rows if row["network"] == name} for name in names}


def _summary(rows: Sequence[Row]) -> str:
    levels = ", ".join(f"{row['condition']} {row['nmse_db_mean_of_db']:.1f}" for row in rows)
    return f"{rows[0]['network']}: {levels} dB mean of dB"
