"""The signals that a network misses: which they are, and what more layers make of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.cli.accuracy import draw_test
from unrollbit.cli.networks import problem_of
from unrollbit.cli.studies.experiment import TEST_SEED, Row
from unrollbit.cli.studies.shelf import add_arguments, network_files
from unrollbit.cli.tables import print_table
from unrollbit.metrics import failures, nmse_db
from unrollbit.networks import refine
from unrollbit.packed import PackedNetwork, load
from unrollbit.plots import errors_of_signals, save

__all__ = ["add_arguments", "run"]
_BATCH = 2000
_DRAWN = 3  # networks in the figure: those that gain most
_NOTES = (
    "As trained -> with the last four layers repeated for signals that still move (unrollbit.refine), at most 256",
    "layers more; layers: mean and largest number. Packed networks, fresh signals. mean of dB: mean over signals of",
    "the NMSE of each; NMSE: ratio of sums, ruled by the worst; failures: share of signals worse than -20 dB; worst:",
    "largest NMSE of a signal. non-zeros: mean of all signals, mean of the worst 1 %.",
)


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Measure, print the table, draw the figure."""
    signals, seed = 2000 if options.quick else 10_000, TEST_SEED + options.seed
    rows, clouds, skipped = [], {}, []
    for name, path in network_files(options.networks).items():
        packed = load(path)
        sparse = packed.problem is not None and "sparsity" in packed.problem  # images have no non-zeros to count
        if not sparse or not packed.network.estimates_per_layer:
            skipped.append(name)
            continue
        row, clouds[name] = measure(name, packed, signals, seed)
        rows.append(row)
    if not rows:
        raise ValueError("none of the networks is an unrolled one for sparse signals")
    columns = ("network", "non-zeros", "layers", "mean of dB", "NMSE (dB)", "failures", "worst (dB)")
    figures = ("nmse_db_mean_of_db", "nmse_db", "failures", "worst_db")
    lines = []
    for row in rows:
        pairs = [f"{row['as_trained'][key]:.4g} -> {row['repeated'][key]:.4g}" for key in figures]
        counts = f"{row['non_zeros']:.0f}, {row['non_zeros_of_worst']:.0f}"
        layers = f"{row['depth']} -> {row['layers_mean']:.0f}, {row['layers_max']}"
        lines.append((row["network"], counts, layers, *pairs))
    print_table("Hard signals", columns, lines, (*_NOTES, *(f"skipped: {name}" for name in skipped)))
    gaining = sorted(rows, key=lambda row: row["repeated"]["nmse_db"] - row["as_trained"]["nmse_db"])[:_DRAWN]
    figure = errors_of_signals({row["network"]: clouds[row["network"]] for row in gaining})
    save(figure, out / "figures" / "hard-signals")
    return {"rows": rows, "skipped": skipped, "signals": signals, "test_seed": seed}


def measure(name: str, packed: PackedNetwork, signals: int, seed: int) -> tuple[Row, dict[str, np.ndarray]]:
    """Figures of a network before and after repeating its last layers, and those of every signal (dB, counts)."""
    x, y, _ = draw_test(problem_of(packed), seed, signals)
    first = jnp.concatenate([packed(y[i : i + _BATCH]) for i in range(0, len(y), _BATCH)])
    rounds = [refine(packed.network, y[i : i + _BATCH]) for i in range(0, len(y), _BATCH)]
    last, layers = jnp.concatenate([r.x for r in rounds]), np.concatenate([np.asarray(r.layers) for r in rounds])
    before, after = _of_each(first, x), _of_each(last, x)
    count = np.count_nonzero(np.asarray(x), axis=-1)
    worst = np.argsort(-before)[: max(1, len(before) // 100)]
    row: Row = {"network": name, "non_zeros": float(count.mean()), "non_zeros_of_worst": float(count[worst].mean())}
    row |= {"as_trained": _figures(first, x, before), "repeated": _figures(last, x, after)}
    row |= {"layers_mean": float(layers.mean()), "layers_max": int(layers.max()), "depth": packed.network.depth}
    row["settled"] = float(np.mean(np.concatenate([np.asarray(r.converged) for r in rounds])))
    return row, {"non-zeros": count, "before": before, "after": after}


def _of_each(estimate: Any, x: Any) -> np.ndarray:
    error, energy = (np.sum(np.asarray(a, np.float64) ** 2, axis=-1) for a in (estimate - x, x))
    return 10 * np.log10(np.maximum(error / np.maximum(energy, 1e-30), 1e-14))


def _figures(estimate: Any, x: Any, each: np.ndarray) -> dict[str, float]:
    found = {"nmse_db": float(nmse_db(estimate, x)), "failures": float(failures(estimate, x))}
    return {**found, "nmse_db_mean_of_db": float(nmse_db(estimate, x, reduction="mean_of_db")), "worst_db": each.max()}
