"""Imaging physics: one-bit corrections of the adjoint against full precision and FISTA, problem by problem."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms import FISTA, solve
from unrollbit.baselines import tune_regularisation
from unrollbit.cli.common import NETWORK_FILE, positive, print_table, write_json
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.studies.experiment import Experiment, Row, run_all, slug
from unrollbit.metrics import nmse_db
from unrollbit.packed import load
from unrollbit.plots import image_row, save
from unrollbit.problems import Problem
from unrollbit.problems.prior import bands

SUMMARY = (
    "blur, low resolution, missing pixels, tomography, resonance, spikes: one-bit against full precision and FISTA"
)
DEPTH, STEPS = 8, 150
FLOAT, NOTHING, ONE, TWO = "full precision", "W = A", "A + 1 plane", "A + 2 planes"
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
_CONVERGED = 500
_TUNING, _CLASSIC = 96, 400
_NOTES = (
    "NMSE: 10 log10(sum of errors / sum of energies) over all test images (spikes: 2,000 signals), mean over seeds of",
    "physics, noise and training; spread: largest - smallest. FISTA has its best weight, chosen on validation signals.",
    "Gap: to full precision. All networks: FISTA unrolled, one matrix for all layers, equal steps. bits: those of",
    "A + 1 plane per active link (entries that the structure allows, in every layer).",
)


class _Classic(NamedTuple):
    """FISTA on one problem, to be tuned and measured."""

    name: str
    spec: dict[str, Any]
    depth: int
    converged: bool
    path: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--seeds", type=positive, default=None, metavar="N", help="seeds per network (3; quick: 1)")
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), help="among them (default: all)")


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Tune FISTA, train, print the table, draw the pictures."""
    names = [name for name in PROBLEMS if name in (options.problems or PROBLEMS)]
    seeds = range(options.seed, options.seed + (options.seeds or (1 if options.quick else 3)))
    classic = _classic(names, seeds, out, options.quick, options.workers)
    planned = experiments(names, seeds, classic, options.quick)
    rows = run_all(planned, out, signals=2000, workers=options.workers)
    table = summarise(rows, classic)
    show(table)
    for name in names:
        draw(name, options.seed, classic, out)
    return {"rows": rows, "classic": list(classic.values()), "table": table}


def experiments(
    names: Sequence[str], seeds: Sequence[int], classic: dict[tuple[str, int], Row], quick: bool
) -> list[Experiment]:
    """Every network on every problem with every seed. They start at FISTA with its best weight."""
    found = []
    for name in names:
        for seed in seeds:
            spec = {**PROBLEMS[name], "seed": seed}
            algorithm = _algorithm(spec, classic[name, seed]["weight"])
            common = {"depth": DEPTH, "steps": 40 if quick else STEPS, "batch": 16, "algorithm": algorithm}
            learned = {"name": "two_stage", **common, "distinct": 1, "sign_rate": 3e-3}
            plane = {"format": "OneBit", "anchored": True}
            recipes = {
                NOTHING: {"name": "scalars_only", **common, "weights": {"format": "Fixed"}},
                FLOAT: {"name": "full_precision", **common, "distinct": 1},
                ONE: {**learned, "weights": plane},
                TWO: {**learned, "weights": {**plane, "planes": 2}},
            }
            for network, recipe in recipes.items():
                labels = {"problem": name, "network": network}
                found.append(Experiment(slug(f"{name} {network}"), {"problem": spec, "recipe": recipe}, labels, seed))
    return found


def _algorithm(spec: dict[str, Any], weight: float) -> dict[str, Any]:
    """FISTA with one threshold per band of frequencies (images), all starting alike."""
    shrinkage: dict[str, Any] = {"kind": "Soft"}
    if "size" in spec:
        psi = Problem.from_spec(spec).operator.inner  # pyright: ignore[reportAttributeAccessIssue]
        groups = bands(psi, (spec["size"], spec["size"]))
        shrinkage = {"kind": "Grouped", "shrinkage": shrinkage, "groups": list(groups)}
    return {"kind": "FISTA", "shrinkage": shrinkage, "regularisation": weight}


def _classic(
    names: Sequence[str], seeds: Sequence[int], out: Path, quick: bool, workers: int
) -> dict[tuple[str, int], Row]:
    """FISTA by problem and seed; what the folder has already is kept. The converged solver runs on the first seed."""
    found, missing = {}, []
    for name in names:
        for seed in seeds:
            spec = {**PROBLEMS[name], "seed": seed}
            path = out / "classic" / slug(name) / f"seed{seed}.json"
            task = _Classic(name, spec, DEPTH, seed == seeds[0] and not quick, path)
            row = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
            if row is not None and (row["spec"], row["converged"]) == (spec, task.converged):
                found[name, seed] = row
            else:
                missing.append(task)
    for row in in_parallel(_tuned, missing, workers, _described, label="FISTA"):
        found[row["problem"], row["spec"]["seed"]] = row
    return found


def _described(row: Row) -> str:
    return f"FISTA, {row['problem']} (seed {row['spec']['seed']}): {row['nmse_db']:.1f} dB after {DEPTH} iterations"


def _tuned(task: _Classic) -> Row:
    problem = Problem.from_spec(task.spec)
    x, y = _pairs(problem.split("validation"), _TUNING)
    row: Row = {"problem": task.name, "spec": task.spec, "converged": task.converged}
    best = tune_regularisation(FISTA(), problem.operator, x, y, task.depth, weights=7).algorithm
    tests = _pairs(problem.split("test"), 2000)
    estimate = solve(best, problem.operator, tests[1], task.depth).x
    row |= {"weight": best.regularisation, "nmse_db": float(nmse_db(estimate, tests[0]))}
    if task.converged:
        best = tune_regularisation(FISTA(), problem.operator, x, y, _CONVERGED, weights=5, tolerance=1e-4).algorithm
        part = [a[:: max(1, len(a) // _CLASSIC)] for a in tests]
        estimate = solve(best, problem.operator, part[1], _CONVERGED, 1e-4).x
        row["converged_nmse_db"] = float(nmse_db(estimate, part[0]))
    write_json(task.path, row)
    return row


def _pairs(part: Problem, count: int) -> tuple[Array, Array]:
    """Evenly spread pairs of a data set, or fresh ones."""
    pairs = part.all()
    if pairs is None:
        return part.sample(jax.random.key(1), count)
    step = max(1, len(pairs[0]) // count)
    return pairs[0][::step], pairs[1][::step]


def summarise(rows: Sequence[Row], classic: dict[tuple[str, int], Row]) -> list[Row]:
    """One line per problem: means and spreads over seeds, gaps to full precision."""
    table = []
    for name in dict.fromkeys(row["problem"] for row in rows):
        own = [row for row in rows if row["problem"] == name]
        solver = [row for (problem, _), row in classic.items() if problem == name]
        line: Row = {"problem": name, "FISTA": float(np.mean([row["nmse_db"] for row in solver]))}
        line["FISTA converged"] = next((row["converged_nmse_db"] for row in solver if "converged_nmse_db" in row), None)
        for network in (NOTHING, FLOAT, ONE, TWO):
            levels = np.array([row["nmse_db"] for row in own if row["network"] == network])
            line[network], line[f"{network} spread"] = float(levels.mean()), float(np.ptp(levels))
        for network in (ONE, TWO):
            line[f"{network} gap"] = line[network] - line[FLOAT]
            rates = [row["bits_per_active_link"] for row in own if row["network"] == network]
            line[f"{network} bits"] = float(np.mean(rates))
        for network in (FLOAT, ONE):
            line[f"{network} bytes"] = next(row["file_bits"] // 8 for row in own if row["network"] == network)
        table.append(line)
    return table


def show(table: Sequence[Row]) -> None:
    """The table."""
    columns = ("problem", f"FISTA {DEPTH}", "converged", NOTHING, FLOAT, ONE, "gap", TWO, "gap", "spread", "bits")
    lines = []
    for line in table:
        spread = max(line[f"{network} spread"] for network in (NOTHING, FLOAT, ONE, TWO))
        values = (line["FISTA"], line["FISTA converged"], line[NOTHING], line[FLOAT])
        pairs = (line[ONE], line[f"{ONE} gap"], line[TWO], line[f"{TWO} gap"])
        lines.append((line["problem"], *values, *pairs, spread, line[f"{ONE} bits"]))
    print_table("Physics: test NMSE in dB", columns, lines, _NOTES)


def draw(name: str, seed: int, classic: dict[tuple[str, int], Row], out: Path) -> None:
    """Truth, what the adjoint sees, FISTA, full precision and one bit: a photograph put together from its tiles."""
    spec = {**PROBLEMS[name], "seed": seed}
    problem = Problem.from_spec(spec).split("test")
    if not hasattr(problem, "image"):
        return
    x, y = problem.image("chelsea")  # pyright: ignore[reportAttributeAccessIssue]
    assemble = problem.assemble  # pyright: ignore[reportAttributeAccessIssue]
    solver = FISTA(regularisation=classic[name, seed]["weight"])
    step = jnp.sum(y * y) / jnp.sum(problem.operator(problem.operator.T(y)) * y)  # best multiple of A^T y
    images = {"truth": assemble(x, "chelsea"), "adjoint": assemble(step * problem.operator.T(y), "chelsea")}
    images[f"FISTA, {DEPTH} iterations"] = assemble(solve(solver, problem.operator, y, DEPTH).x, "chelsea")
    for network in (FLOAT, ONE):
        packed = load(out / "networks" / slug(f"{name} {network}") / f"seed{seed}" / NETWORK_FILE)
        images[network] = assemble(packed(y), "chelsea")
    cut = {label: np.clip(image[64:192, 128:288], 0, 1) for label, image in images.items()}
    save(image_row(cut), out / "figures" / f"images-{slug(name)}")
