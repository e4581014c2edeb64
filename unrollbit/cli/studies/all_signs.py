"""A network without a single float matrix: A too is replaced by sign planes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unrollbit.cli.studies.experiment import Experiment, run_all, without_configs
from unrollbit.cli.studies.networks import one_bit_network
from unrollbit.cli.tables import print_table
from unrollbit.plots import accuracy_against_bits, save

DEPTH = 16
PLANES = range(1, 9)
PROBLEM = {"kind": "SparseRecovery", "m": 256, "n": 512}
SHARED = "W = A"
_NOTES = (
    "Signals are measured with the float A; the network knows only its sign planes, and a scale per column and plane.",
    "mean of dB: mean over signals of the NMSE of each; NMSE: 10 log10(sum of errors / sum of energies). error of A:",
    "relative Frobenius error of the planes, about -6 dB a plane. What is left of A acts as noise that no layer sees",
    "through: recovery stops a few dB below that error. With a float A, or with physics of signs, it does not.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def experiments(seed: int, quick: bool) -> list[Experiment]:
    """W = A, the same planes both ways; and W of one or two planes, designed as without noise."""
    planes = (1, 2, 4) if quick else PLANES
    steps = 150 if quick else 800
    found = []
    for count in planes:
        physics = {"form": "sign-planes", "planes": count}
        shared = {"name": "scalars_only", "depth": DEPTH, "steps": steps, "physics": physics}
        ways = {SHARED: {**shared, "weights": "Fixed"}}
        for back in (1, 2):
            label = f"W of {back} plane{'s' * (back > 1)}"
            ways[label] = one_bit_network(DEPTH, steps, planes=back, distinct=1, physics=physics)
        for index, (label, recipe) in enumerate(ways.items()):
            config = {"problem": {**PROBLEM, "seed": seed}, "recipe": recipe}
            found.append(Experiment(f"planes{count}-back{index}", config, {"network": label, "planes": count}, seed))
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, print the table, draw the curve."""
    planned = experiments(options.seed, options.quick)
    rows = run_all(planned, out, signals=2000 if options.quick else 10_000, workers=options.workers)
    errors = _errors(options.seed)
    for row in rows:
        row["operator_error_db"] = errors[row["planes"]]
    rows.sort(key=lambda row: (row["network"], row["planes"]))
    columns = (
        "network",
        "planes of A",
        "error of A (dB)",
        "resident bits/entry",
        "mean of dB",
        "NMSE (dB)",
        "failures",
    )
    keys = ("planes", "operator_error_db", "resident_per_entry", "nmse_db_mean_of_db", "nmse_db", "failures")
    print_table("All signs", columns, [(row["network"], *(row[key] for key in keys)) for row in rows], _NOTES)
    points = [
        {"method": row["network"], "bits_per_link": row["resident_per_entry"], "nmse_db": row["nmse_db_mean_of_db"]}
        for row in rows
    ]
    figure = accuracy_against_bits(points, xlabel="resident bits per entry of A", ylabel="NMSE, mean of dB")
    save(figure, out / "figures" / "all-signs")
    return {"rows": without_configs(rows)}


def _errors(seed: int) -> dict[int, float]:
    import numpy as np

    from unrollbit.packed_operators import sign_planes
    from unrollbit.problems import SparseRecovery

    A = SparseRecovery(PROBLEM["m"], PROBLEM["n"], seed=seed).operator
    exact = np.asarray(A.dense(), np.float64)
    found = {}
    for planes in PLANES:
        error = np.asarray(sign_planes(A, planes).dense(), np.float64) - exact
        found[planes] = 10 * float(np.log10((error**2).sum() / (exact**2).sum()))
    return found
