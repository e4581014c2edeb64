"""How long a recovery takes from a packed file."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from unrollbit.cli.networks import problem_of
from unrollbit.packed import load

_BATCH = 64
_ROUNDS = 15


def milliseconds_per_signal(files: Mapping[str, Path], seed: int, *, batch: int = _BATCH) -> dict[str, float]:
    """Median time of one recovery in batches, by name. All networks run in turn, so that what else the machine does
    meets them alike; compare ratios.
    """
    networks = {name: load(path) for name, path in files.items()}
    signals = {}
    for name, network in networks.items():
        signals[name] = problem_of(network).split("test").sample(jax.random.key(seed), batch)[1]
        network(signals[name]).block_until_ready()  # compiles
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(_ROUNDS):
        for name, network in networks.items():
            begun = time.perf_counter()
            network(signals[name]).block_until_ready()
            times[name].append(time.perf_counter() - begun)
    return {name: 1e3 * float(np.median(spent)) / batch for name, spent in times.items()}
