"""Every theorem on one network: signals, reports, table and figures of ``unrollbit theory``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from unrollbit.algorithms import OutsideNormalForm
from unrollbit.cli.tables import print_table
from unrollbit.networks import Network
from unrollbit.packed import PackedNetwork
from unrollbit.plots import bounds_per_layer, save, tightness_of_theorems
from unrollbit.problems import Problem
from unrollbit.theory import audit
from unrollbit.theory.normal_form import measurements, normal_form
from unrollbit.theory.registry import known
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary

_LARGEST = 2**30  # numbers in the signals drawn: 4 GB in float32
_WIDE = 110  # columns of a terminal from which statements fit beside the numbers
_NOTES = (
    "bound, measured, tightness: medians over the instances (signals, perturbations) to which a theorem applies; where",
    "applies is not all of them, these may be the easiest signals.",
    "/ trivial: bound over what holds without a network (size of the signal or output, risk of the zero estimate);",
    "vacuous: from 1, in most instances. not applicable: an assumption is not met; not measured: nothing was compared",
    "with the bound. Neither is ever a pass.",
)


def draw_signals(problem: Problem, seed: int, count: int) -> tuple[Float[np.ndarray, "S n"], Float[np.ndarray, "S m"]]:
    """Test signals other than zero: no error is smaller than the signal where there is none."""
    test = problem.split("test")
    held = test.all()  # a small test set is taken once and whole
    few = held is not None and len(held[0]) <= count
    pairs = held if held is not None and few else test.sample(jax.random.key(seed), 2 * count)
    x, y = (np.asarray(part, np.float64) for part in pairs)
    kept = np.flatnonzero(np.any(x != 0, axis=1))[:count]
    if not kept.size:
        raise ValueError(f"all {len(x)} test signals are zero: nothing to check; try more --signals")
    return x[kept], y[kept]


def layer_theorems(
    net: Network, x: Float[np.ndarray, "S n"], y: Float[np.ndarray, "S m"], settings: audit.Settings
) -> tuple[Iterable[Report], str]:
    """Reports of stability, sensitivity and convergence, and the normal form or why there is none."""
    try:
        form = normal_form(net)
    except OutsideNormalForm as error:
        return audit.outside(str(error)), f"none ({error})"
    words = "" if form.soft else f", shrinkage of Lipschitz constant {form.lipschitz:.3g}"
    return audit.deterministic(form, x, measurements(net, y), settings), form.form + words


def with_progress(reports: Iterable[Report]) -> Iterator[Report]:
    """The same reports, with a line on stderr about how far they have come."""
    columns = SpinnerColumn(), TextColumn("{task.completed} checks, now after {task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    # in a file the bar would leave an empty line
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("the start", total=None)
        for report in reports:
            bar.update(task, advance=1, description=f"{report.theorem} ({known(report.theorem).family})")
            yield report


def generalization_theorems(
    packed: PackedNetwork, net: Network, problem: Problem, settings: audit.Settings
) -> Iterator[Report]:
    training = packed.training or {}
    samples, seed = training.get("samples"), training.get("seed")
    try:
        return audit.generalization(net, problem, samples, seed, settings)
    except TypeError as error:
        raise ValueError(f"this file's training record is not usable: {error}") from error


def check_size(option: str, count: int, problem: Problem) -> None:
    """Refuse what no memory holds."""
    drawn = problem.energy is not None or (option == "--signals" and problem.all() is None)
    largest = _LARGEST // max(problem.operator.shape)
    if drawn and count > largest:
        raise ValueError(f"{option}: {count:,} signals do not fit into memory; expected at most {largest:,}")


def print_theorems(path: Path, form: str, summaries: Sequence[Summary]) -> None:
    narrow = sys.stdout.isatty() and Console().width < _WIDE
    lines = []
    for row in summaries:
        status = row.status + (" (vacuous)" if row.vacuous and row.applicable else "")
        values = (row.bound, row.relative, row.measured, row.tightness)
        numbers = ("-" if value is None or not np.isfinite(value) else f"{value:.3g}" for value in values)
        unmet = "no normal form" if row.unmet.startswith(audit.IN_NORMAL_FORM) else row.unmet  # the title says why
        if narrow:
            lines.append((row.theorem, f"{status}: {unmet}" if unmet else status, row.applies, *numbers))
        else:
            lines.append((row.theorem, known(row.theorem).summary, status, row.applies, *numbers, unmet))
    values = ("applies", "bound", "/ trivial", "measured", "tightness")
    if narrow:
        columns = ("theorem", "status, what is not met", *values)
    else:
        columns = ("theorem", "statement", "status", *values, "assumption that is not met")
    print_table(f"{path}: normal form {form}", columns, lines, _NOTES)


def draw_figures(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    figures = {"tightness": tightness_of_theorems(rows)}
    if any(row["bounds"] is not None and row["measurements"] is not None for row in rows):
        figures["layers"] = bounds_per_layer(rows)
    return [save(figure, folder / name)[1] for name, figure in figures.items()]
