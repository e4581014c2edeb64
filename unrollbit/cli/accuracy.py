"""Accuracy of a network on test signals, beside classic solvers tuned on validation signals."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms import FISTA, ISTA, solve
from unrollbit.baselines import Classic, tune
from unrollbit.baselines.comparison import Tell, silent
from unrollbit.metrics import nmse_db
from unrollbit.networks import Network, refine
from unrollbit.problems import Problem

_BATCH = 1000
_TUNING_SIGNALS = 256
_CONVERGED = 2000  # iterations of the converged solver
_CONVERGED_SIGNALS = 250  # a few thousand iterations on more take minutes


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
    unrolled = net.estimates_per_layer
    forward = jax.jit(lambda net, y: net(y, iterates=unrolled))
    size = -(-len(y) // -(-len(y) // _BATCH))  # parts of equal size, where that is possible, compile once
    parts = [np.asarray(forward(net, y[i : i + size])) for i in range(0, len(y), size)]
    estimates = np.concatenate(parts, axis=1 if unrolled else 0)
    last = jnp.asarray(estimates[-1] if unrolled else estimates)
    figures: dict[str, Any] = problem.metrics(last, x)
    return figures | _per_layer(estimates if unrolled else None, x)


def check_refinable(net: Network) -> None:
    """Raise ``ValueError`` for a network whose layers cannot be repeated."""
    if not net.estimates_per_layer:
        raise ValueError(f"--refine: only unrolled networks have layers to repeat, and this is a {net.method}")


def refined_accuracy(net: Network, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
    """Metrics once the last layers are repeated for the signals that still move, and how many layers that took."""
    check_refinable(net)
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


def classic_solvers(
    problem: Problem, x: Array, y: Array, iterations: int, seed: int, tell: Tell = silent
) -> list[dict[str, Any]]:
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
        tell(f"{name}: tuning, {count} iterations")
        few, weights = (32, 7) if converged else (_TUNING_SIGNALS, 9)
        tolerance = 1e-6 if converged else 0.0
        tuned = tune(Classic(algorithm, count, tolerance), A, xv[:few], yv[:few], count=weights)
        every = max(1, len(x) // _CONVERGED_SIGNALS) if converged else 1  # evenly spread: data sets are ordered
        signals = slice(None, None, every)
        solution = solve(tuned.baseline.algorithm, A, y[signals], count, tolerance, iterates=not converged)
        row = {
            "method": name,
            "signals": len(x[signals]),
            "iterations": int(solution.iterations),
            **tuned.parameters,
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
