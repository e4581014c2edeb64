"""``unrollbit theory RUN|FILE``: every theorem on a trained network, bound beside measurement."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from unrollbit.algorithms import OutsideNormalForm
from unrollbit.cli.common import add_common, open_network, positive, print_table, problem_of, write_json
from unrollbit.networks import Network
from unrollbit.packed import PackedNetwork
from unrollbit.plots import bounds_per_layer, save, tightness_of_theorems
from unrollbit.problems import Problem
from unrollbit.theory import audit
from unrollbit.theory.normal_form import measurements, normal_form
from unrollbit.theory.report import Report
from unrollbit.theory.statements import STATEMENTS
from unrollbit.theory.summary import Summary, summarise

_NOTES = (
    "bound, measured, tightness: medians over the instances (signals, perturbations) to which a theorem applies.",
    "vacuous: true and no better than the trivial bound in most instances. not applicable: never a pass.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("network", type=Path, metavar="RUN|FILE", help="run folder or packed network")
    parser.add_argument("--signals", type=positive, default=50, help="held-out test signals (default: 50)")
    parser.add_argument("--attacked", type=positive, default=10, help="of them, how many to attack (default: 10)")
    parser.add_argument("--radius", type=float, default=1e-3, help="size of perturbations of y (default: 0.001)")
    parser.add_argument("--flips", type=positive, default=1, help="sign flips per layer for N2, N2u (default: 1)")
    parser.add_argument("--rate", type=float, default=1e-3, help="bit error rate for N3 (default: 0.001)")
    parser.add_argument("--delta", type=float, default=0.05, help="failure probability of G (default: 0.05)")
    parser.add_argument(
        "--sample", type=positive, default=50_000, help="signals for G where the run had no fixed set (default: 50000)"
    )
    add_common(parser, out="folder of the figures (default: theory/ in the run folder, or NAME-theory)", seed=1)


def run(options: argparse.Namespace) -> None:
    """Check, print the table, draw the figures."""
    begun = time.perf_counter()
    settings = audit.Settings(
        attacked=options.attacked,
        radius=options.radius,
        flips=options.flips,
        rate=options.rate,
        delta=options.delta,
        sample=options.sample,
        seed=options.seed,
    )
    packed = open_network(options.network)
    problem = problem_of(packed)
    x, y = problem.split("test").sample(jax.random.key(options.seed), options.signals)
    net = packed.trainable()
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    reports, form = _layer_theorems(net, x, y, settings)
    reports += _generalization(packed, net, problem, settings)
    summaries = summarise(reports)
    _print(options.network, form, summaries)
    rows = [summary.row() for summary in summaries]
    figures = _draw(rows, _folder(options))
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
    write_json(options.json, result)
    print(f"{result['seconds']:.0f} s. Figures: {', '.join(map(str, figures))}", file=sys.stderr)
    broken = [summary.theorem for summary in summaries if summary.violated_instances]
    if broken:
        raise ValueError(f"violated: {', '.join(broken)}. A proven bound cannot be: please report this network")


def _layer_theorems(
    net: Network, x: Float[np.ndarray, "S n"], y: Float[np.ndarray, "S m"], settings: audit.Settings
) -> tuple[list[Report], str]:
    """Reports of stability, sensitivity and convergence, and the normal form or why there is none."""
    try:
        form = normal_form(net)
    except OutsideNormalForm as error:
        return audit.outside(str(error)), f"none ({error})"
    words = "" if form.soft else f", shrinkage of Lipschitz constant {form.lipschitz:.3g}"
    return audit.deterministic(form, x, measurements(net, y), settings), form.form + words


def _generalization(packed: PackedNetwork, net: Network, problem: Problem, settings: audit.Settings) -> list[Report]:
    training = packed.training or {}
    return audit.generalization(net, problem, training.get("samples"), training.get("seed"), settings)


def _print(path: Path, form: str, summaries: Sequence[Summary]) -> None:
    lines = []
    for row in summaries:
        status = row.status + (" (vacuous)" if row.vacuous and row.applicable else "")
        numbers = ("-" if value is None else f"{value:.3g}" for value in (row.bound, row.measured, row.tightness))
        unmet = "no normal form" if row.unmet.startswith(audit.IN_NORMAL_FORM) else row.unmet  # the title says why
        lines.append((row.theorem, STATEMENTS[row.theorem].summary, status, *numbers, unmet))
    columns = ("theorem", "statement", "status", "bound", "measured", "tightness", "assumption that is not met")
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
