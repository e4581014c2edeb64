"""The classic solvers of the study of imaging physics, tuned on validation signals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from unrollbit.algorithms import ADMM, FISTA, Algorithm, GradientDescent, solve
from unrollbit.baselines import Classic, tune
from unrollbit.cli.outputs import Output
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies.experiment import Row, slug
from unrollbit.metrics import nmse_db
from unrollbit.problems import Problem

Solvers = dict[tuple[str, int], Row]  # by problem and seed
_CONVERGED = 500
_TUNING, _CLASSIC = 96, 400


class _Task(NamedTuple):
    """A solver on one problem, to be tuned and measured."""

    algorithm: str
    problem: str
    spec: dict[str, Any]
    depth: int
    converged: bool
    path: Path


def classic_solvers(
    algorithm: str, specs: Mapping[tuple[str, int], dict[str, Any]], depth: int, out: Path, quick: bool, workers: int
) -> Solvers:
    """The solver by problem and seed, after ``depth`` iterations; what the folder has already is kept.

    FISTA also runs to convergence, on the first seed of each problem.
    """
    found, missing, seen = {}, [], set()
    for (name, seed), spec in specs.items():
        path = out / "classic" / slug(algorithm) / slug(name) / f"seed{seed}.json"
        task = _Task(algorithm, name, spec, depth, algorithm == "FISTA" and name not in seen and not quick, path)
        seen.add(name)
        row = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if row is not None and all(row[key] == getattr(task, key) for key in ("spec", "depth", "converged")):
            found[name, seed] = row
        else:
            missing.append(task)
    for row in in_parallel(_tuned, missing, workers, _described, label=algorithm):
        found[row["problem"], row["spec"]["seed"]] = row
    return {key: found[key] for key in specs}


def solver_of(row: Mapping[str, Any]) -> Algorithm:
    """The solver that a row describes."""
    return Algorithm.from_spec({"kind": row["algorithm"], **row["parameters"]})


def _described(row: Row) -> str:
    where = f"{row['algorithm']}, {row['problem']} (seed {row['spec']['seed']})"
    return f"{where}: {row['nmse_db']:.1f} dB after {row['depth']} iterations"


def _tuned(task: _Task) -> Row:
    problem = Problem.from_spec(task.spec)
    A, (x, y) = problem.operator, _pairs(problem.split("validation"), _TUNING)
    row: Row = {key: getattr(task, key) for key in ("algorithm", "problem", "spec", "depth", "converged")}
    tests = _pairs(problem.split("test"), 2000)
    if task.algorithm == "GradientDescent":
        best, parameters = GradientDescent(), ()
    elif task.algorithm == "ADMM":
        best = tune(Classic(ADMM(), task.depth), A, x, y, count=6).baseline.algorithm
        parameters = ("regularisation", "rho")
    else:
        best, parameters = tune(Classic(FISTA(), task.depth), A, x, y, count=7).baseline.algorithm, ("regularisation",)
    row["parameters"] = {name: getattr(best, name) for name in parameters}
    row["nmse_db"] = float(nmse_db(solve(best, A, tests[1], task.depth).x, tests[0]))
    if task.converged:
        best = tune(Classic(FISTA(), _CONVERGED, 1e-4), A, x, y, count=5).baseline.algorithm
        part = [a[:: max(1, len(a) // _CLASSIC)] for a in tests]
        row["converged_nmse_db"] = float(nmse_db(solve(best, A, part[1], _CONVERGED, 1e-4).x, part[0]))
    Output(task.path).write_json(row)
    return row


def _pairs(part: Problem, count: int) -> tuple[Array, Array]:
    """Evenly spread pairs of a data set, or fresh ones."""
    pairs = part.all()
    if pairs is None:
        return part.sample(jax.random.key(1), count)
    step = max(1, len(pairs[0]) // count)
    return pairs[0][::step], pairs[1][::step]
