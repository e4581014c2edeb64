"""Every theorem on random and on trained networks: how often it applies, says something, and how tight it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from unrollbit.cli.networks import problem_of
from unrollbit.cli.outputs import NETWORK_FILE, Output
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies.experiment import Experiment, Row, run_all
from unrollbit.cli.studies.theory_networks import experiments
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.plots import save, tightness_of_theorems
from unrollbit.theory import audit
from unrollbit.theory.convergence import C6, c1_schedule, noise_bound
from unrollbit.theory.generalization import clopper_pearson
from unrollbit.theory.normal_form import NormalForm, measurements, normal_form
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.registry import known
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary, summarise

GAIN_DB = 3.0  # what training must bring for a network to count as trained
_RANDOM, _RANDOM_QUICK = 200, 20
_NOTES = (
    "Instances are pairs of a network and a signal (or a perturbation of the network). Perturbations are found by",
    "ascent and greedy search. tightness: median of measured / bound over applicable instances (S2: bound / measured);",
    "where these are few they may be the easiest signals. Not measured: nothing was compared with the bound.",
)


class _Random(NamedTuple):
    """Random networks ``first`` .. ``first + count - 1``."""

    first: int
    count: int
    seed: int

    def check(self) -> tuple[str, list[Report]]:
        """Every theorem that needs a network in normal form, on each of them."""
        each = range(self.first, self.first + self.count)
        return "random", [report for index in each for report in _random(index, self.seed)]


class _Trained(NamedTuple):
    """A trained network in its run folder."""

    name: str
    folder: Path
    signals: int
    seed: int

    def check(self) -> tuple[str, list[Report]]:
        """Every theorem, on test signals."""
        packed = load(self.folder / NETWORK_FILE)
        net, problem, training = packed.trainable(), problem_of(packed), packed.training or {}
        x, y = problem.split("test").sample(jax.random.key(self.seed), self.signals)
        settings = audit.Settings(seed=self.seed)
        found = audit.deterministic(normal_form(net), np.asarray(x, np.float64), measurements(net, y), settings)
        certificates = audit.generalization(net, problem, training["samples"], training["seed"], settings)
        return "trained", [*found, *certificates]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, check, print the tables, draw the figures; raises ``ValueError`` if a theorem is violated."""
    planned = experiments(options.seed, options.quick)
    rows = run_all(planned, out, signals=1000, workers=options.workers)
    trained = [_gain(row) for row in rows]
    print_table(
        "Trained networks", ("network", "start (dB)", "trained (dB)", "gain (dB)"), [_line(row) for row in trained]
    )
    count = _RANDOM_QUICK if options.quick else _RANDOM
    tasks: list[Any] = [_Random(first, 10, options.seed) for first in range(0, count, 10)]
    tasks += _trained_tasks(planned, trained, out, options.quick)
    reports: dict[str, list[Report]] = {"random": [], "trained": []}
    for group, found in in_parallel(_check, tasks, options.workers, _describe, label="checking"):
        reports[group] += found
    summaries = {group: summarise(found) for group, found in reports.items()}
    for group, table in summaries.items():
        _print(group, count if group == "random" else len(tasks) - len(range(0, count, 10)), table)
        figure = tightness_of_theorems([summary.row() for summary in table])
        save(figure, out / "figures" / f"tightness-{group}")
    result = {
        "checks": sum(row.applicable for table in summaries.values() for row in table),
        "violated": sum(row.violated_instances for table in summaries.values() for row in table),
        "rows": [{"group": group, **row.row()} for group, table in summaries.items() for row in table],
    }
    broken = [f"{row.theorem} ({group})" for group, table in summaries.items() for row in table if _is_broken(row)]
    if broken:
        Output(out / "report.json").write_json(result)
        raise ValueError(f"violated: {', '.join(broken)}; the instances are in {out / 'report.json'}")
    return {"trained_networks": trained, **result}


def _is_broken(row: Summary) -> bool:
    """A violation; of a theorem that holds with probability 1 - delta, more of them than delta allows."""
    if known(row.theorem).certainty != "probable" or not row.violated_instances:
        return row.violated_instances > 0
    return clopper_pearson(row.violated_instances, row.applicable)[0] > audit.Settings().delta


def _gain(row: Row) -> Row:
    start, end = row["untrained"], row["nmse_db_mean_of_db"]
    return {"name": row["name"], "network": row["network"], "start": start, "end": end, "gain": start - end}


def _line(row: Row) -> tuple[Any, ...]:
    enough = "" if row["gain"] >= GAIN_DB else f" (left out: gain below {GAIN_DB:g} dB)"
    return row["network"] + enough, row["start"], row["end"], row["gain"]


def _trained_tasks(planned: Sequence[Experiment], rows: Sequence[Row], out: Path, quick: bool) -> list[_Trained]:
    folders = {p.name: out / "networks" / p.name / f"seed{p.seed}" for p in planned}
    signals = 6 if quick else 50
    return [_Trained(row["name"], folders[row["name"]], signals, 1) for row in rows if row["gain"] >= GAIN_DB]


def _check(task: _Random | _Trained) -> tuple[str, list[Report]]:
    return task.check()


def _random(index: int, seed: int) -> list[Report]:
    """Network number ``index``: all forms in turn, sizes, masks and formats drawn."""
    random = np.random.RandomState([seed, index])
    m, n = int(random.randint(3, 49)), int(random.randint(3, 51))
    kind = ("ista", "gd", "lista", "admm")[index % 4]
    m, n = (max(m, n), min(m, n)) if kind == "gd" else (m, n)
    aligned = kind == "gd" and index % 3 == 0  # one matrix near A, for C3a
    form = random_form(
        kind,
        int(random.randint(2**31)),
        m=m * (1 + aligned),
        n=n,
        depth=int(random.randint(1, 11)),
        tied=bool(random.rand() < 0.4) or aligned,
        one_bit=bool(random.rand() < 0.7),
        flips=(0.05 if aligned else 0.5) * random.rand(),
        density=1.0 if random.rand() < 0.5 else 0.2 + 0.8 * random.rand(),
        threshold=0.1 * random.rand(),
    )
    x, y, e = sparse_signals(form, index, 2, sparsity=int(random.randint(1, max(2, n // 4))), noise=0.02 * (index % 3))
    if index % 8 == 0:
        form = _scheduled(form, x, e, classical=index % 16 == 0)
    own = C6(random.randn(m, n) / np.sqrt(m), gaussian=True)
    return [own, *audit.deterministic(form, x, y, audit.Settings(seed=index, rate=0.02))]


def _scheduled(form: NormalForm, x: np.ndarray, e: np.ndarray, *, classical: bool) -> NormalForm:
    """The same network with thresholds for which C1 (C1b: ``classical``) holds; thresholds that are drawn never are."""
    nu = noise_bound(form, float(np.linalg.norm(e, axis=1).max()))
    size = float(np.abs(x).sum(axis=1).max() if classical else np.abs(x).max())
    return replace(form, theta=c1_schedule(form, int((x != 0).sum(axis=1).max()), size, nu, classical=classical))


def _describe(outcome: tuple[str, list[Report]]) -> str:
    group, reports = outcome
    return f"{group}: {len(reports)} checks, {sum(report.status == 'violated' for report in reports)} violated"


def _print(group: str, networks: int, table: Sequence[Summary]) -> None:
    lines = []
    for row in table:
        nothing = row.status if row.status == "not measured" else "-"
        ratios = (nothing if value is None else f"{value:.2g}" for value in (row.tightness, row.largest_tightness))
        counts = row.instances, row.applicable, row.vacuous_instances, row.violated_instances
        lines.append((row.theorem, known(row.theorem).summary, *counts, *ratios))
    columns = ("theorem", "statement", "instances", "applicable", "vacuous", "violated", "tightness", "largest")
    print_table(f"Theorems on {networks} {group} networks", columns, lines, _NOTES)
