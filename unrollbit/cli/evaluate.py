"""``unrollbit evaluate RUN|FILE``: accuracy per layer on fresh test signals, beside classic solvers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms import FISTA, ISTA, solve
from unrollbit.baselines import tune_regularisation
from unrollbit.cli.common import (
    add_common,
    changes_text,
    open_network,
    parse_changes,
    positive,
    print_table,
    problem_of,
    write_json,
)
from unrollbit.metrics import nmse_db
from unrollbit.networks import Network, Unrolled, refine
from unrollbit.plots import nmse_per_layer, save
from unrollbit.problems import Problem

_BATCH = 1000
_TUNING_SIGNALS = 256
_CONVERGED = 2000  # iterations of the converged solver
_CONVERGED_SIGNALS = 250  # a few thousand iterations on more take minutes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("network", type=Path, metavar="RUN|FILE", help="run folder or packed network")
    parser.add_argument(
        "--samples", type=positive, default=10_000, metavar="M", help="fresh test signals (default 10000)"
    )
    parser.add_argument("--no-classic", action="store_true", help="skip the classic solvers")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        dest="changes",
        help="evaluate on a changed problem: fields and TOML values, such as sparsity=0.15 or snr_db=15; none removes "
        "a field. Only what leaves A as it is",
    )
    parser.add_argument(
        "--refine", action="store_true", help="also repeat the last layers for signals that have not settled"
    )
    add_common(parser, out="folder for evaluate.json and the figure of NMSE per layer", seed=1)


def run(options: argparse.Namespace) -> None:
    """Evaluate, print, plot."""
    changes = parse_changes(options.changes)
    packed = open_network(options.network)
    problem = problem_of(packed, changes)
    x, y, note = draw_test(problem, options.seed, options.samples)
    figures = accuracy(packed.network, problem, x, y)
    bits = packed.bits()
    result: dict[str, Any] = {"network": str(options.network), "samples": len(x), "seed": options.seed}
    result |= {"changed": changes, **figures}
    result |= {name: getattr(bits, name) for name in ("bits_per_link", "resident_bits_per_link", "file_bits_per_link")}
    depth = packed.network.depth
    if options.refine:
        result["refined"] = refined_accuracy(packed.network, problem, x, y)
    result["classic"] = [] if options.no_classic else classic_solvers(problem, x, y, depth, options.seed)
    rows = [("this network", depth, *_columns(figures))]
    if options.refine:
        rows.append(("last layers repeated (mean)", result["refined"]["layers_mean"], *_columns(result["refined"])))
    rows += [(row["method"], row["iterations"], *_columns(row)) for row in result["classic"]]
    columns = ("method", "layers", "NMSE (dB)", "mean of dB", "failures")
    notes = [
        f"{len(x)} test signals{note}. NMSE: 10 log10(sum of errors / sum of energies); mean of dB: mean over signals;",
        "failures: share of signals worse than -20 dB. The converged solver runs on evenly spread signals, about 250.",
    ]
    if changes:
        notes.append(f"Changed problem: {changes_text(changes)}. Classic solvers are tuned on it, the network is not.")
    print_table(str(options.network), columns, rows, notes)
    for k, level in enumerate(figures["nmse_db_per_layer"] or [], start=1):
        print(f"layer {k:3d}: {level:8.2f} dB (mean of dB {figures['nmse_db_mean_of_db_per_layer'][k - 1]:8.2f})")
    write_json(options.json, result)
    if options.out is not None:
        write_json(options.out / "evaluate.json", result)
        if figures["nmse_db_per_layer"]:
            curves = {"network": figures["nmse_db_per_layer"]}
            curves |= {row["method"]: row["nmse_db_per_layer"] for row in result["classic"] if row["nmse_db_per_layer"]}
            save(nmse_per_layer(curves), options.out / "nmse_per_layer")


def draw_test(problem: Problem, seed: int, samples: int) -> tuple[Array, Array, str]:
    """Test signals: fresh ones from a distribution; of a data set, all of them or ``samples`` drawn at random."""
    test = problem.split("test")
    pairs = test.all()
    if pairs is None:
        x, y = jax.jit(lambda problem, key: problem.sample(key, samples))(test, jax.random.key(seed))
        return x, y, ""
    x, y = pairs
    if samples < len(x):
        rows = np.random.RandomState(seed).permutation(len(x))[:samples]
        return x[rows], y[rows], f" of {len(x)}"
    return x, y, " (all there are)"


def accuracy(net: Network, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
    """Metrics of the last layer and NMSE of every layer (None for networks without estimates per layer)."""
    unrolled = isinstance(net, Unrolled)
    forward = jax.jit(lambda net, y: net(y, iterates=unrolled))
    parts = [np.asarray(forward(net, y[i : i + _BATCH])) for i in range(0, len(y), _BATCH)]
    estimates = np.concatenate(parts, axis=1 if unrolled else 0)
    last = jnp.asarray(estimates[-1] if unrolled else estimates)
    figures: dict[str, Any] = problem.metrics(last, x)
    return figures | _per_layer(estimates if unrolled else None, x)


def refined_accuracy(net: Network, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
    """Metrics once the last layers are repeated for the signals that still move, and how many layers that took."""
    if not isinstance(net, Unrolled):
        raise ValueError("--refine: only unrolled networks have layers to repeat; this one is fully connected")
    parts = [refine(net, y[i : i + _BATCH]) for i in range(0, len(y), _BATCH)]
    layers = np.concatenate([np.asarray(part.layers) for part in parts])
    settled = float(np.mean(np.concatenate([np.asarray(part.converged) for part in parts])))
    figures = problem.metrics(jnp.concatenate([part.x for part in parts]), x)
    return {**figures, "layers_mean": float(layers.mean()), "layers_max": int(layers.max()), "settled": settled}


def _per_layer(estimates: Array | np.ndarray | None, x: Array) -> dict[str, list[float] | None]:
    if estimates is None:
        return {"nmse_db_per_layer": None, "nmse_db_mean_of_db_per_layer": None}
    means = [float(nmse_db(e, x, reduction="mean_of_db")) for e in estimates]
    return {"nmse_db_per_layer": [float(nmse_db(e, x)) for e in estimates], "nmse_db_mean_of_db_per_layer": means}


def classic_solvers(problem: Problem, x: Array, y: Array, iterations: int, seed: int) -> list[dict[str, Any]]:
    """ISTA and FISTA of as many iterations, and converged FISTA; each with its best weight on validation signals."""
    xv, yv, _ = draw_validation(problem, seed)
    A = problem.operator
    rows = []
    for name, algorithm, count in (
        ("ista", ISTA(), iterations),
        ("fista", FISTA(), iterations),
        ("fista converged", FISTA(), _CONVERGED),
    ):
        converged = count == _CONVERGED
        few, weights = (32, 7) if converged else (_TUNING_SIGNALS, 9)
        tolerance = 1e-6 if converged else 0.0
        tuned = tune_regularisation(algorithm, A, xv[:few], yv[:few], count, weights=weights, tolerance=tolerance)
        every = max(1, len(x) // _CONVERGED_SIGNALS) if converged else 1  # evenly spread: data sets are ordered
        signals = slice(None, None, every)
        solution = solve(tuned.algorithm, A, y[signals], count, tolerance, iterates=not converged)
        row = {
            "method": name,
            "signals": len(x[signals]),
            "iterations": solution.iterations,
            "regularisation": tuned.algorithm.regularisation,
        }
        rows.append({**row, **problem.metrics(solution.x, x[signals]), **_per_layer(solution.iterates, x)})
    return rows


def draw_validation(problem: Problem, seed: int) -> tuple[Array, Array, str]:
    """Validation signals to choose weights with."""
    validation = problem.split("validation")
    pairs = validation.all()
    if pairs is None:
        return *validation.sample(jax.random.key(seed), _TUNING_SIGNALS), ""
    rows = np.random.RandomState(seed).permutation(len(pairs[0]))[:_TUNING_SIGNALS]
    return pairs[0][rows], pairs[1][rows], ""


def _columns(figures: dict[str, Any]) -> tuple[float, float, float]:
    return figures["nmse_db"], figures["nmse_db_mean_of_db"], figures["failures"]
