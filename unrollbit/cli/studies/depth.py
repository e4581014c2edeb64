"""Deeper is better: NMSE of 4 to 64 layers on training and test signals, and what it costs in bits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from unrollbit.cli.studies.experiment import Experiment, Row, run_all, slug, without_configs
from unrollbit.cli.studies.networks import cell_networks, one_bit_network
from unrollbit.cli.tables import print_table
from unrollbit.plots import curves_of_depth, save

DEPTHS = (4, 8, 16, 32, 64)
TRAINING_SIGNALS = 8192
PROBLEM = {"kind": "SparseRecovery", "m": 256, "n": 512}
_NOTES = (
    "All trained for the same number of steps on the same 8,192 signals. mean of dB: mean over signals of the NMSE of",
    "each; NMSE: 10 log10(sum of errors / sum of energies); failures: share of signals worse than -20 dB.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def experiments(seed: int, quick: bool) -> list[Experiment]:
    """One network per kind and depth."""
    depths, steps = (DEPTHS[:3], 150) if quick else (DEPTHS, 900)
    found = []
    for depth in depths:
        networks = {
            "1 plane, untied": one_bit_network(depth, steps),
            "1 plane, tied": one_bit_network(depth, steps, distinct=1),
            "A + 1 plane, tied": one_bit_network(depth, steps, distinct=1, anchored=True),
            "W = A": cell_networks(depth, steps)["cell, W = A"],
        }
        for name, recipe in networks.items():
            config = {"samples": TRAINING_SIGNALS, "problem": {**PROBLEM, "seed": seed}, "recipe": recipe}
            found.append(Experiment(f"{slug(name)}-{depth}", config, {"network": name}, seed))
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, print the table, draw the figure."""
    planned = experiments(options.seed, options.quick)
    rows = run_all(planned, out, signals=2000 if options.quick else 10_000, workers=options.workers)
    rows.sort(key=lambda row: row["network"])
    columns = (
        "network",
        "layers",
        "training, mean of dB",
        "test, mean of dB",
        "test NMSE (dB)",
        "failures",
        "bits/link",
    )
    keys = ("nmse_db_mean_of_db", "nmse_db", "failures", "bits_per_link")
    lines = [
        (row["network"], row["depth"], row["training"]["nmse_db_mean_of_db"], *(row[key] for key in keys))
        for row in rows
    ]
    print_table("Depth: sparse recovery (256, 512), no noise", columns, lines, _NOTES)
    save(curves_of_depth(_curves(rows)), out / "figures" / "depth")
    return {"rows": without_configs(rows)}


def _curves(rows: list[Row]) -> dict[str, dict[str, np.ndarray]]:
    curves: dict[str, dict[str, np.ndarray]] = {}
    for name in dict.fromkeys(row["network"] for row in rows):
        own = sorted((row for row in rows if row["network"] == name), key=lambda row: row["depth"])
        curves[name] = {
            "depth": np.array([row["depth"] for row in own]),
            "training": np.array([row["training"]["nmse_db_mean_of_db"] for row in own]),
            "test": np.array([row["nmse_db_mean_of_db"] for row in own]),
            "bits": np.array([row["bits_per_link"] for row in own]),
        }
    return curves
