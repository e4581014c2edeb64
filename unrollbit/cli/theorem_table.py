"""Every theorem on one network: signals, reports, table and figures of ``unrollbit theory``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
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
from unrollbit.plots.certificates import has_layers
from unrollbit.problems import Problem
from unrollbit.theory import audit
from unrollbit.theory.normal_form import measurements, normal_form
from unrollbit.theory.registry import known
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary, by_use

_LARGEST = 2**30  # numbers in the signals drawn: 4 GB in float32
_WIDE = 100  # columns
_NOTES = (
    "applies: of how many signals, networks or perturbations a theorem speaks; bound, measured and tight",
    "(measured / bound, or what is left to 1) are medians over those: they may be the easiest ones.",
    "vacuous: true, and no better than what holds without a network. not applicable: an assumption is",
    "not met; not measured: nothing was compared with the bound. None of these is ever a pass.",
)


def draw_signals(problem: Problem, seed: int, count: int) -> tuple[Float[np.ndarray, "S n"], Float[np.ndarray, "S m"]]:
    """Test signals other than zero: no error is smaller than the signal where there is none."""
    test = problem.split("test")
    few = test.count is not None and test.count <= count  # a small test set is taken once and whole
    pairs = (test.all() if few else None) or test.sample(jax.random.key(seed), 2 * count)
    x, y = (np.asarray(part, np.float64) for part in pairs)
    kept = np.flatnonzero(np.any(x != 0, axis=1))[:count]
    if not kept.size:
        raise ValueError(f"all {len(x)} test signals are zero: nothing to check; try more --signals")
    return x[kept], y[kept]


def every_theorem(
    packed: PackedNetwork,
    problem: Problem,
    x: Float[np.ndarray, "S n"],
    y: Float[np.ndarray, "S m"],
    settings: audit.Settings,
) -> tuple[Iterator[Report], str]:
    """Reports of all theorems as they are found, those on held-out signals first; and the normal form in words."""
    net = packed.trainable()
    layers, form = layer_theorems(net, x, y, settings)
    certificates = generalization_theorems(packed, net, problem, settings)
    return chain(audit.held_out(net, problem, settings), layers, certificates), form


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
    drawn = problem.energy is not None or (option == "--signals" and problem.count is None)
    largest = _LARGEST // max(problem.operator.shape)
    if drawn and count > largest:
        raise ValueError(f"{option}: {count:,} signals do not fit into memory; expected at most {largest:,}")


def print_theorems(path: Path, form: str, summaries: Sequence[Summary]) -> None:
    """A table per family, those that say something first, at most 100 columns wide on pages and in files."""
    print(f"{path}: normal form {form}")
    columns = ("theorem", "status", "applies", "bound", "measured", "tight", "what it means")
    for family, rows in by_use(summaries).items():
        lines = []
        for row in rows:
            status = "vacuous" if row.vacuous and row.status == "holds" else row.status
            values = (row.bound, row.measured, row.tightness)
            numbers = ("-" if value is None or not np.isfinite(value) else f"{value:.3g}" for value in values)
            # the first line says why there is no normal form
            words = "not met: no normal form" if row.unmet.startswith(audit.IN_NORMAL_FORM) else row.meaning
            lines.append((row.theorem, status, row.applies, *numbers, words))
        useful = sum(row.applicable > 0 for row in rows)
        title = f"{family.capitalize()}: {useful} of {len(rows)} statements apply"
        print_table(title, columns, lines, width=_WIDE)
    print("\n".join(_NOTES))


def draw_figures(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    figures = {"tightness": tightness_of_theorems(rows)}
    if any(has_layers(row) for row in rows):
        figures["layers"] = bounds_per_layer(rows)
    return [save(figure, folder / name)[1] for name, figure in figures.items()]
