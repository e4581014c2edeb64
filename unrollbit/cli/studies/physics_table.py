"""Tables and pictures of the study of imaging physics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.algorithms import solve
from unrollbit.cli.outputs import NETWORK_FILE
from unrollbit.cli.studies.experiment import Row, slug
from unrollbit.cli.studies.physics_classic import Solvers, solver_of
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.plots import image_row, save
from unrollbit.problems import Problem

FLOAT, NOTHING, ONE, TWO = "full precision", "W = start", "start + 1 plane", "start + 2 planes"
NETWORKS = (NOTHING, FLOAT, ONE, TWO)
CLASSIC, CONVERGED = "classic", "classic, converged"
_TITLES = {
    "FISTA": "FISTA unrolled (start: A)",
    "GradientDescent": "Gradient descent unrolled (start: A; no shrinkage)",
    "ADMM": "ADMM unrolled (start: (A A^T + rho I)^-1 A)",
}
_NOTES = (
    "NMSE: 10 log10(sum of errors / sum of energies) over all test images (spikes: 2,000 signals), mean over seeds of",
    "physics, noise and training; spread: largest - smallest. Solvers have their best parameters, chosen on validation",
    "signals. float32: the same network in full precision; planes: start + V, V one or two sign planes; gap: to",
    "float32. All networks: one matrix for all layers, equal steps. bits: those of one plane per active link (entries",
    "that the structure allows, in every layer).",
)
_SHORTER = "Gradient descent and ADMM run on four of the nine problems unless --problems names others."


def experiment_name(algorithm: str, problem: str, network: str) -> str:
    """The folder of a network."""
    return slug(f"{algorithm} {problem} {network}")


def summarise(algorithm: str, rows: Sequence[Row], solvers: Solvers) -> list[Row]:
    """A line per problem and method: mean and spread over seeds; of networks also the gap to full precision."""
    table: list[Row] = []
    for name in dict.fromkeys(row["problem"] for row in rows):
        common = {"problem": name, "algorithm": algorithm}
        own = [row for row in rows if row["problem"] == name]
        solver = {seed: row for (problem, seed), row in solvers.items() if problem == name}
        for method, key in ((CLASSIC, "nmse_db"), (CONVERGED, "converged_nmse_db")):
            levels = {seed: row[key] for seed, row in solver.items() if key in row}
            table += [{**common, "method": method, **_over_seeds(levels)}] if levels else []
        floats = {row["seed"]: row["nmse_db"] for row in own if row["network"] == FLOAT}
        for network in NETWORKS:
            found = {row["seed"]: row for row in own if row["network"] == network}
            line = {**common, "method": network, **_over_seeds({seed: row["nmse_db"] for seed, row in found.items()})}
            gaps = [row["nmse_db"] - floats[seed] for seed, row in found.items()]
            line |= {"gap_db": float(np.mean(gaps)), "largest_gap_db": max(gaps)}
            line["bits_per_active_link"] = float(np.mean([row["bits_per_active_link"] for row in found.values()]))
            line["file_bytes"] = next(row["file_bits"] // 8 for row in found.values())
            table.append(line)
    return table


def _over_seeds(levels: Mapping[int, float]) -> Row:
    values = list(levels.values())
    return {"nmse_db": float(np.mean(values)), "spread_db": max(values) - min(values), "seeds": list(levels)}


def show(algorithm: str, table: Sequence[Row], depth: int) -> None:
    """The table of one algorithm."""
    names = ("problem", f"classic {depth}", "converged", NOTHING, "float32")
    columns = [*names, "1 plane", "gap", "2 planes", "gap", "spread", "bits"]
    lines = []
    for problem in dict.fromkeys(line["problem"] for line in table):
        own = {line["method"]: line for line in table if line["problem"] == problem}
        levels = [own[method]["nmse_db"] if method in own else None for method in (CLASSIC, CONVERGED, NOTHING, FLOAT)]
        pairs = [own[network][key] for network in (ONE, TWO) for key in ("nmse_db", "gap_db")]
        spread = max(own[network]["spread_db"] for network in NETWORKS)
        lines.append((problem, *levels, *pairs, spread, own[ONE]["bits_per_active_link"]))
    notes = _NOTES if algorithm == "FISTA" else (*_NOTES, _SHORTER)
    print_table(f"{_TITLES[algorithm]}: test NMSE in dB", columns, lines, notes)


def draw(algorithm: str, name: str, spec: Mapping[str, Any], solver: Mapping[str, Any], depth: int, out: Path) -> None:
    """Truth, adjoint, classic solver, full precision and one bit: a photograph put together from its tiles."""
    problem = Problem.from_spec(dict(spec)).split("test")
    if not hasattr(problem, "image"):
        return
    x, y = problem.image("chelsea")  # pyright: ignore[reportAttributeAccessIssue]
    assemble = problem.assemble  # pyright: ignore[reportAttributeAccessIssue]
    A = problem.operator
    step = jnp.sum(y * y) / jnp.sum(A(A.T(y)) * y)  # best multiple of A^T y
    images = {"truth": assemble(x, "chelsea"), "adjoint": assemble(step * A.T(y), "chelsea")}
    label = f"{algorithm}, {depth} iterations" if algorithm != "GradientDescent" else f"gradient descent, {depth}"
    images[label] = assemble(solve(solver_of(solver), A, y, depth).x, "chelsea")
    for network in (FLOAT, ONE):
        folder = out / "networks" / experiment_name(algorithm, name, network) / f"seed{spec['seed']}"
        images[network] = assemble(load(folder / NETWORK_FILE)(y), "chelsea")
    cut = {title: np.clip(image[64:192, 128:288], 0, 1) for title, image in images.items()}
    save(image_row(cut), out / "figures" / f"images-{slug(algorithm)}-{slug(name)}")
