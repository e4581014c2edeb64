"""Imaging physics: one-bit corrections of unrolled algorithms against full precision and the classic solvers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import positive
from unrollbit.cli.studies.experiment import Experiment, run_all, without_configs
from unrollbit.cli.studies.physics_classic import classic_solvers
from unrollbit.cli.studies.physics_table import FLOAT, NOTHING, ONE, TWO, draw, experiment_name, show, summarise
from unrollbit.formats import Anchored, OneBit
from unrollbit.packed_operators.packed_signs import Scale
from unrollbit.problems import Problem
from unrollbit.problems.prior import bands

DEPTH, STEPS = 8, 150
_IMAGES = {"size": 32, "transform": "dct"}
PROBLEMS: dict[str, dict[str, Any]] = {
    "single-pixel": {"kind": "SinglePixelCamera", **_IMAGES, "snr_db": 30.0},
    "gaussian blur": {"kind": "Deblurring", "kernel": "gaussian", "width": 1.2, **_IMAGES, "snr_db": 40.0},
    "motion blur": {"kind": "Deblurring", "kernel": "motion", "width": 7, **_IMAGES, "snr_db": 40.0},
    "box blur": {"kind": "Deblurring", "kernel": "box", "width": 5, **_IMAGES, "snr_db": 40.0},
    "super-resolution": {"kind": "SuperResolution", "factor": 2, **_IMAGES, "snr_db": 40.0},
    "inpainting": {"kind": "Inpainting", "ratio": 0.5, **_IMAGES, "snr_db": 30.0},
    "tomography": {"kind": "Tomography", "angles": 12, **_IMAGES, "snr_db": 40.0},
    "resonance": {"kind": "MagneticResonance", "acceleration": 3.0, **_IMAGES, "snr_db": 30.0},
    "spikes": {"kind": "SparseDeconvolution", "n": 128, "snr_db": 30.0},
}
FEW = ("single-pixel", "gaussian blur", "tomography", "spikes")
ALGORITHMS = {"FISTA": tuple(PROBLEMS), "GradientDescent": FEW, "ADMM": FEW}  # and the problems of each
_SCALED_COLUMNS = 16  # non-zeros of a column from which a scale of its own adds at most two bits per sign


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--seeds", type=positive, default=None, metavar="N", help="seeds per network (3; quick: 1)")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), help="among them (default: all)")
    parser.add_argument("--algorithms", nargs="+", choices=list(ALGORITHMS), help="among them (default: all)")


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Tune the classic solvers, train, print a table per algorithm, draw the pictures."""
    seeds = range(options.seed, options.seed + (options.seeds or (1 if options.quick else 3)))
    rows, solved, table = [], [], []
    for algorithm in (name for name in ALGORITHMS if name in (options.algorithms or ALGORITHMS)):
        names = [name for name in PROBLEMS if name in (options.problems or ALGORITHMS[algorithm])]
        specs = {(name, seed): {**PROBLEMS[name], "seed": seed} for name in names for seed in seeds}
        solvers = classic_solvers(algorithm, specs, DEPTH, out, options.quick, options.workers)
        planned = [
            experiment
            for (name, seed), spec in specs.items()
            for experiment in experiments(algorithm, name, spec, solvers[name, seed], options.quick)
        ]
        trained = run_all(planned, out, signals=2000, workers=options.workers)
        lines = summarise(algorithm, trained, solvers)
        show(algorithm, lines, DEPTH)
        for name in names:
            draw(algorithm, name, specs[name, options.seed], solvers[name, options.seed], DEPTH, out)
        rows, solved, table = rows + trained, solved + list(solvers.values()), table + lines
    return {"rows": without_configs(rows), "classic": solved, "table": table, "seeds": len(seeds)}


def experiments(
    algorithm: str, name: str, spec: Mapping[str, Any], solver: Mapping[str, Any], quick: bool
) -> list[Experiment]:
    """Every network of an algorithm on one problem. They start at the classic solver with its best parameters."""
    problem = Problem.from_spec(dict(spec))
    unrolled = _algorithm(algorithm, problem, spec, solver["parameters"])
    common = {"depth": DEPTH, "steps": 40 if quick else STEPS, "batch": 16, "algorithm": unrolled}
    learned = {"name": "two_stage", **common, "distinct": 1, "sign_rate": 3e-3}
    one, two = (Anchored(OneBit(planes=planes, scale=scale_of(problem))).to_spec() for planes in (1, 2))
    recipes = {
        NOTHING: {"name": "scalars_only", **common, "weights": "Fixed"},
        FLOAT: {"name": "full_precision", **common, "distinct": 1},
        ONE: {**learned, "weights": one},
        TWO: {**learned, "weights": two},
    }
    return [
        Experiment(
            experiment_name(algorithm, name, network),
            {"problem": dict(spec), "recipe": recipe},
            {"problem": name, "algorithm": algorithm, "network": network},
            spec["seed"],
        )
        for network, recipe in recipes.items()
    ]


def _algorithm(name: str, problem: Problem, spec: Mapping[str, Any], parameters: Mapping[str, float]) -> dict[str, Any]:
    """The algorithm with these parameters and, where it shrinks, one threshold per band of frequencies (images), all
    starting alike.
    """
    if name == "GradientDescent":
        return {"kind": name}
    shrinkage: dict[str, Any] = {"kind": "Soft"}
    if "size" in spec:
        psi = problem.operator.inner  # pyright: ignore[reportAttributeAccessIssue]
        groups = bands(psi, (spec["size"], spec["size"]))
        shrinkage = {"kind": "Grouped", "shrinkage": shrinkage, "groups": list(groups)}
    return {"kind": name, "shrinkage": shrinkage, **parameters}


def scale_of(problem: Problem) -> Scale:
    """One scale per unknown where its column (in the domain of the signal) is long enough to pay for it."""
    A = getattr(problem.operator, "outer", problem.operator)
    return "column" if A.mask().links >= _SCALED_COLUMNS * A.shape[1] else "layer"
