"""``unrollbit theory RUN|FILE``: every theorem on a trained network, bound beside measurement."""

from __future__ import annotations

import argparse
import sys
import time
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
from unrollbit.cli.arguments import add_common, add_data, add_network, positive
from unrollbit.cli.networks import problem_of
from unrollbit.cli.outputs import Outputs
from unrollbit.cli.tables import print_table
from unrollbit.networks import Network
from unrollbit.packed import PackedNetwork, load
from unrollbit.plots import bounds_per_layer, save, tightness_of_theorems
from unrollbit.problems import Problem
from unrollbit.theory import audit
from unrollbit.theory.normal_form import measurements, normal_form
from unrollbit.theory.registry import known
from unrollbit.theory.report import Report
from unrollbit.theory.summary import Summary, summarise

_LARGEST = 2**30  # numbers in the signals drawn: 4 GB in float32
_WIDE = 110  # columns of a terminal from which statements fit beside the numbers
_NOTES = (
    "bound, measured, tightness: medians over the instances (signals, perturbations) to which a theorem applies; where",
    "applies is not all of them, these may be the easiest signals.",
    "/ trivial: bound over what holds without a network (size of the signal or output, risk of the zero estimate);",
    "vacuous: from 1, in most instances. not applicable: an assumption is not met; not measured: nothing was compared",
    "with the bound. Neither is ever a pass.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument("--signals", type=positive, default=50, help="held-out test signals (default: 50)")
    parser.add_argument("--attacked", type=positive, default=10, help="of them, how many to attack (default: 10)")
    parser.add_argument(
        "--radius", type=float, default=1e-3, help="size of perturbations, relative to that of y (default: 0.001)"
    )
    parser.add_argument("--flips", type=positive, default=1, help="sign flips per layer for N2, N2u (default: 1)")
    parser.add_argument("--rate", type=float, default=1e-3, help="bit error rate for N3 (default: 0.001)")
    parser.add_argument("--delta", type=float, default=0.05, help="failure probability of G (default: 0.05)")
    parser.add_argument(
        "--sample", type=positive, default=50_000, help="signals for G where the run had no fixed set (default: 50000)"
    )
    add_data(parser)
    add_common(parser, out="folder of the figures (default: theory/ in the run folder, or NAME-theory)", seed=1)


def run(options: argparse.Namespace) -> None:
    """Check, print the table, draw the figures."""
    begun = time.perf_counter()
    outputs = Outputs(options.network)
    folder, reports = outputs.folder("--out", _folder(options)), outputs.reports(options.json)
    settings = audit.Settings(
        attacked=options.attacked,
        radius=options.radius,
        flips=options.flips,
        rate=options.rate,
        delta=options.delta,
        sample=options.sample,
        seed=options.seed,
    )
    packed = load(options.network)
    problem = problem_of(packed, data=options.data)
    _check_size("--signals", options.signals, problem)
    _check_size("--sample", options.sample, problem)
    x, y = _draw_signals(problem, options.seed, options.signals)
    net = packed.trainable()
    found, form = _layer_theorems(net, x, y, settings)
    summaries = summarise(_shown(chain(found, _generalization(packed, net, problem, settings))))
    rows = [summary.row() for summary in summaries]
    figures = _draw(rows, folder)
    result = {
        "network": options.network.name,
        "normal_form": form,
        "signals": len(x),
        "settings": vars(settings),
        "violated": sum(summary.violated_instances for summary in summaries),
        "figures": [path.name for path in figures],
        "seconds": time.perf_counter() - begun,
        "rows": rows,
    }
    reports.write(result)
    _print(options.network, form, summaries)
    print(f"{result['seconds']:.0f} s. Figures: {', '.join(map(str, figures))}", file=sys.stderr)
    unlucky = [row.theorem for row in summaries if row.violated_instances and known(row.theorem).probabilistic]
    if unlucky:
        print(f"violated: {', '.join(unlucky)}, which happens with probability delta at most", file=sys.stderr)
    broken = [row.theorem for row in summaries if row.violated_instances and not known(row.theorem).probabilistic]
    if broken:
        raise ValueError(f"violated: {', '.join(broken)}. A proven bound cannot be: please report this network")


def _draw_signals(problem: Problem, seed: int, count: int) -> tuple[Float[np.ndarray, "S n"], Float[np.ndarray, "S m"]]:
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


def _layer_theorems(
    net: Network, x: Float[np.ndarray, "S n"], y: Float[np.ndarray, "S m"], settings: audit.Settings
) -> tuple[Iterable[Report], str]:
    """Reports of stability, sensitivity and convergence, and the normal form or why there is none."""
    try:
        form = normal_form(net)
    except OutsideNormalForm as error:
        return audit.outside(str(error)), f"none ({error})"
    words = "" if form.soft else f", shrinkage of Lipschitz constant {form.lipschitz:.3g}"
    return audit.deterministic(form, x, measurements(net, y), settings), form.form + words


def _shown(reports: Iterable[Report]) -> Iterator[Report]:
    """The same reports, with a line on stderr about how far they have come."""
    columns = SpinnerColumn(), TextColumn("{task.completed} checks, now after {task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    # in a file the bar would leave an empty line
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("the start", total=None)
        for report in reports:
            bar.update(task, advance=1, description=f"{report.theorem} ({known(report.theorem).family})")
            yield report


def _generalization(
    packed: PackedNetwork, net: Network, problem: Problem, settings: audit.Settings
) -> Iterator[Report]:
    training = packed.training or {}
    samples, seed = training.get("samples"), training.get("seed")
    try:
        return audit.generalization(net, problem, samples, seed, settings)
    except TypeError as error:
        raise ValueError(f"this file's training record is not usable: {error}") from error


def _check_size(option: str, count: int, problem: Problem) -> None:
    """Refuse what no memory holds."""
    drawn = problem.energy is not None or (option == "--signals" and problem.all() is None)
    largest = _LARGEST // max(problem.operator.shape)
    if drawn and count > largest:
        raise ValueError(f"{option}: {count:,} signals do not fit into memory; expected at most {largest:,}")


def _print(path: Path, form: str, summaries: Sequence[Summary]) -> None:
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


def _draw(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    figures = {"tightness": tightness_of_theorems(rows)}
    if any(row["bounds"] is not None and row["measurements"] is not None for row in rows):
        figures["layers"] = bounds_per_layer(rows)
    return [save(figure, folder / name)[1] for name, figure in figures.items()]


def _folder(options: argparse.Namespace) -> Path:
    if options.out is not None:
        return options.out
    path: Path = options.network
    return path / "theory" if path.is_dir() else path.with_name(f"{path.stem}-theory")
