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
    """One line per problem: means and spreads over seeds, gaps to full precision."""
    table = []
    for name in dict.fromkeys(row["problem"] for row in rows):
        own = [row for row in rows if row["problem"] == name]
        solver = [row for (problem, _), row in solvers.items() if problem == name]
        line: Row = {"problem": name, "algorithm": algorithm}
        line["classic"] = float(np.mean([row["nmse_db"] for row in solver]))
        line["converged"] = next((row["converged_nmse_db"] for row in solver if "converged_nmse_db" in row), None)
        by_seed = {
            network: {row["seed"]: row["nmse_db"] for row in own if row["network"] == network}
            for network in (NOTHING, FLOAT, ONE, TWO)
        }
        for network, levels in by_seed.items():
            line[network], line[f"{network} spread"] = float(np.mean(list(levels.values()))), _spread(levels.values())
        for network in (ONE, TWO):
            gaps = [level - by_seed[FLOAT][seed] for seed, level in by_seed[network].items()]
            line[f"{network} gap"], line[f"{network} largest gap"] = float(np.mean(gaps)), max(gaps)
            rates = [row["bits_per_active_link"] for row in own if row["network"] == network]
            line[f"{network} bits"] = float(np.mean(rates))
        for network in (FLOAT, ONE, TWO):
            line[f"{network} bytes"] = next(row["file_bits"] // 8 for row in own if row["network"] == network)
        table.append(line)
    return table


def _spread(levels: Any) -> float:
    return max(levels) - min(levels)


def show(algorithm: str, table: Sequence[Row], depth: int) -> None:
    """The table of one algorithm."""
    names = ("problem", f"classic {depth}", "converged", NOTHING, "float32")
    columns = [*names, "1 plane", "gap", "2 planes", "gap", "spread", "bits"]
    lines = []
    for line in table:
        spread = max(line[f"{network} spread"] for network in (NOTHING, FLOAT, ONE, TWO))
        values = (line["classic"], line["converged"], line[NOTHING], line[FLOAT])
        pairs = (line[ONE], line[f"{ONE} gap"], line[TWO], line[f"{TWO} gap"])
        lines.append((line["problem"], *values, *pairs, spread, line[f"{ONE} bits"]))
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
