"""Problems of a user's own, from data to packed file: networks beside what a practitioner would use instead."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unrollbit.baselines import compare
from unrollbit.cli.arguments import positive
from unrollbit.cli.cases import CASES, Case, case_named
from unrollbit.cli.config import build_run
from unrollbit.cli.outputs import NETWORK_FILE
from unrollbit.cli.studies.experiment import Experiment, Row, run_all
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.problems import Problem

ONE_BIT, FLOAT, UNTRAINED = "one-bit", "full precision", "untrained"
SIGNALS = 500
MARGIN = 0.5  # dB that one bit may be behind full precision
_QUICK = {"depth": 2, "steps": 12, "batch": 8}
_ROUNDING = 0.01  # dB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="among unrollbit init --list (default: all)")
    parser.add_argument("--seeds", type=positive, default=None, metavar="N", help="seeds per case (3; quick: 1)")


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Write the data, train, compare, print a table per case and what the networks are not ahead of."""
    cases = [case_named(name) for name in options.cases or CASES]
    seeds = range(options.seed, options.seed + (options.seeds or (1 if options.quick else 3)))
    planned = [experiment for case in cases for seed in seeds for experiment in experiments(case, seed, out, options)]
    trained = run_all(planned, out, signals=SIGNALS, workers=options.workers)
    rows: list[Row] = []
    for case in cases:
        for seed in seeds:
            own = [row for row in trained if (row["problem"], row["labelled_seed"]) == (case.name, seed)]
            rows += compared(case.name, seed, own, out, options.quick)
        show(case, rows)
    verdicts = [verdict(name, seed, rows) for name in (case.name for case in cases) for seed in seeds]
    for found in verdicts:
        for word in found["behind"]:
            print(f"{found['problem']}, seed {found['seed']}: {word}")
    return {"rows": rows, "verdicts": verdicts}


def experiments(case: Case, seed: int, out: Path, options: argparse.Namespace) -> list[Experiment]:
    """The networks of a case: the recipe of its TOML file, which is the default one, and the same in full precision."""
    data = out / "data" / case.name / f"seed{seed}"
    case.write_data(data, seed)
    config = case.config()
    problem = Problem.beside(config["problem"], data.resolve())
    recipe = config["recipe"] | (_QUICK if options.quick else {})
    if Problem.from_spec(problem).signal_shape is None:
        in_floats = {**recipe, "name": "full_precision", "distinct": 1}
    else:  # the default recipe learns filters
        in_floats = {**recipe, "name": "learned_prior", "weights": "FullPrecision"}
    return [
        Experiment(
            f"{case.name}-{method.replace(' ', '-')}",
            {"problem": problem, "recipe": recipe_of},
            {"problem": case.name, "method": method, "labelled_seed": seed},
            seed,
        )
        for method, recipe_of in ((ONE_BIT, recipe), (FLOAT, in_floats))
    ]


def compared(name: str, seed: int, trained: Sequence[Row], out: Path, quick: bool) -> list[Row]:
    """Rows of all methods on the same test signals of one case and seed."""
    described = build_run({**trained[0]["config"], "seed": seed}, out)
    networks: dict[str, Any] = {UNTRAINED: described.network}
    for row in trained:
        networks[row["method"]] = load(out / "networks" / row["name"] / f"seed{seed}" / NETWORK_FILE).network
    seconds = {row["method"]: row["seconds"] for row in trained}
    options: dict[str, Any] = {"converged": 10, "tuned_on": 4, "timed": False} if quick else {}
    kept = ("method", "nmse_db", "psnr_db", "milliseconds", "nmse_db_mean_of_db")
    return [
        {"problem": name, "seed": seed, **{key: found[key] for key in kept}}
        | {"seconds": seconds.get(found["method"], 0.0)}
        for found in compare(described.problem, networks, seed=seed, **options)
    ]


def verdict(name: str, seed: int, rows: Sequence[Row]) -> dict[str, Any]:
    """What the one-bit network of the default recipe is not ahead of, in words: the zero estimate, the untrained
    network, the classic solver of as many iterations, full precision by more than ``MARGIN``.
    """
    levels = {row["method"]: row["nmse_db"] for row in rows if (row["problem"], row["seed"]) == (name, seed)}
    one = levels[ONE_BIT]
    limits = {"zero": 0.0, UNTRAINED: levels[UNTRAINED], FLOAT: levels[FLOAT] + MARGIN}
    limits |= {method: levels[method] for method in ("fista",) if method in levels}
    behind = [
        f"one bit has {one:.2f} dB, {method} {levels[method]:.2f} dB"
        for method, limit in limits.items()
        if not one <= limit + _ROUNDING and not math.isnan(limit)
    ]
    return {"problem": name, "seed": seed, "behind": behind}


def show(case: Case, rows: Sequence[Row]) -> None:
    """The table of a case: mean over seeds, and the worst."""
    own = [row for row in rows if row["problem"] == case.name]
    table = []
    for method in dict.fromkeys(row["method"] for row in own):
        found = [row for row in own if row["method"] == method]
        levels = [row["nmse_db"] for row in found]
        psnr = [row["psnr_db"] for row in found if row["psnr_db"] is not None]
        times = [row["milliseconds"] for row in found if row["milliseconds"] is not None]
        trained = _mean([row["seconds"] for row in found])
        table.append((method, _mean(levels), max(levels), _mean(psnr), _mean(times), trained))
    columns = ("method", "NMSE (dB)", "worst seed", "PSNR (dB)", "ms a signal", "training (s)")
    print_table(f"{case.name}: {case.summary}", columns, table)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
