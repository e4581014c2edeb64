"""Problems of a user's own, from data to packed file: networks beside what a practitioner would use instead."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from unrollbit.algorithms import ADMM, FISTA
from unrollbit.baselines import Baseline, Classic, TotalVariation, compare, drawn, grid_of, tune
from unrollbit.cli.arguments import positive
from unrollbit.cli.beside import NETWORK
from unrollbit.cli.beside import verdict as in_words
from unrollbit.cli.cases import CASES, Case, case_named
from unrollbit.cli.config import build_run
from unrollbit.cli.outputs import NETWORK_FILE
from unrollbit.cli.studies.experiment import Experiment, Row, run_all
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.problems import Problem
from unrollbit.training import recipes
from unrollbit.training.recipe import Setting

ONE_BIT, FLOAT, UNTRAINED, CLASSIC = "one-bit", "full precision", "untrained", "classic"
SIGNALS = 500
_TUNED_ON = 64
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
    verdicts: list[Row] = []
    summary: list[Row] = []
    for case in cases:
        for seed in seeds:
            own = [row for row in trained if (row["problem"], row["labelled_seed"]) == (case.name, seed)]
            rows += compared(case.name, seed, own, out, options.quick)
            verdicts.append(verdict(case.name, seed, rows))
        summary += summarised(case.name, rows)
        show(case, summary, verdicts)
    return {"rows": rows, "verdicts": verdicts, "summary": summary}


def experiments(case: Case, seed: int, out: Path, options: argparse.Namespace) -> list[Experiment]:
    """The networks of a case: the recipe of its TOML file, which is the default one, and the same in full precision."""
    data = out / "data" / case.name / f"seed{seed}"
    case.write_data(data, seed)
    config = case.config()
    problem = Problem.beside(config["problem"], data.resolve())
    recipe = {"steps": recipes.STEPS} | config["recipe"] | (_QUICK if options.quick else {})
    if (described := Problem.from_spec(problem)).signal_shape is None:
        rate = Setting(described, recipe["depth"]).matrix_rate
        in_floats = {**recipe, "name": "full_precision", "distinct": 1, "matrix_rate": rate}
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
    problem, depth = described.problem, described.network.depth
    solver = best_classic(problem, depth, seed)
    networks: dict[str, Any] = {UNTRAINED: described.network, CLASSIC: partial(solver, problem)}
    for row in trained:
        networks[row["method"]] = load(out / "networks" / row["name"] / f"seed{seed}" / NETWORK_FILE).network
    about = {row["method"]: {key: row[key] for key in ("seconds", "bits_per_link", "file_bits")} for row in trained}
    about[CLASSIC] = {"what": solver.name}
    options: dict[str, Any] = {"converged": 10, "tuned_on": 4, "timed": False} if quick else {}
    kept = ("method", "nmse_db", "psnr_db", "milliseconds", "nmse_db_mean_of_db")
    return [
        {"problem": name, "seed": seed, **{key: found[key] for key in kept}, "seconds": 0.0}
        | about.get(found["method"], {})
        for found in compare(problem, networks, iterations=depth, seed=seed, **options)
    ]


def best_classic(problem: Problem, iterations: int, seed: int) -> Baseline:
    """The solver without learning that is best on validation signals after as many iterations as a network has layers:
    FISTA, on a grid total variation, elsewhere ADMM.
    """
    x, y = drawn(problem, "validation", _TUNED_ON, seed)
    grid = grid_of(problem)
    other = Classic(ADMM(), iterations) if grid is None else TotalVariation(*grid, iterations=iterations)
    tuned = [tune(baseline, problem, x, y) for baseline in (Classic(FISTA(), iterations), other)]
    return min(tuned, key=lambda found: found.nmse_db).baseline


def verdict(name: str, seed: int, rows: Sequence[Row]) -> dict[str, Any]:
    """What the one-bit network of the default recipe is not ahead of, in words.

    ``behind``: what it should never be behind, the zero estimate, the untrained network, the classic solver of as many
    iterations, full precision by more than ``MARGIN``. ``said``: how it stands beside all that runs to the end.
    """
    found = {row["method"]: row for row in rows if (row["problem"], row["seed"]) == (name, seed)}
    levels = {method: row["nmse_db"] for method, row in found.items()}
    one = levels[ONE_BIT]
    limits = {method: levels[method] for method in ("zero", UNTRAINED, CLASSIC)}
    limits |= {FLOAT: levels[FLOAT] + MARGIN}
    behind = [
        f"one bit has {one:.2f} dB, {method} {levels[method]:.2f} dB"
        for method, limit in limits.items()
        if not one <= limit + _ROUNDING and not math.isnan(limit)
    ]
    others = [row for method, row in found.items() if method not in (ONE_BIT, FLOAT, UNTRAINED)]
    said = in_words([{**found[ONE_BIT], "method": NETWORK}, *others])
    return {"problem": name, "seed": seed, "behind": behind, "said": said}


def summarised(name: str, rows: Sequence[Row]) -> list[Row]:
    """The methods of a case over its seeds: the NMSE of each seed, means of the rest."""
    own = [row for row in rows if row["problem"] == name]
    table: list[Row] = []
    for method in dict.fromkeys(row["method"] for row in own):
        found = [row for row in own if row["method"] == method]
        means = {key: _mean(found, key) for key in ("psnr_db", "milliseconds", "seconds", "bits_per_link")}
        table.append({"problem": name, "method": method, "nmse_db": [row["nmse_db"] for row in found], **means})
    return table


def show(case: Case, summary: Sequence[Row], verdicts: Sequence[Row]) -> None:
    """The table of a case: means over seeds, and the worst."""
    table = [
        (row["method"], sum(levels) / len(levels), max(levels), row["psnr_db"], row["milliseconds"], row["seconds"])
        for row in summary
        if row["problem"] == case.name and (levels := row["nmse_db"])
    ]
    columns = ("method", "NMSE (dB)", "worst seed", "PSNR (dB)", "ms a signal", "training (s)")
    own = [found for found in verdicts if found["problem"] == case.name]
    notes = [f"seed {found['seed']}: {word}" for found in own for word in (*found["behind"], found["said"])]
    print_table(f"{case.name}: {case.summary}", columns, table, notes)


def _mean(rows: Sequence[Row], key: str) -> float | None:
    values = [row[key] for row in rows if row.get(key) is not None]
    return sum(values) / len(values) if values else None
