"""Measurements of the user's own, and what a network makes of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.cli.accuracy import check_refinable
from unrollbit.networks import refine
from unrollbit.packed import PackedNetwork

_BATCH = 4096


def recovered(
    network: PackedNetwork, y: Float[np.ndarray, "*batch m"], *, refined: bool = False
) -> Float[np.ndarray, "*batch n"]:
    """The network's estimates, in batches; ``refined``: with its last layers repeated."""
    m, n = network.network.operator.shape
    rows = y.reshape(-1, m).astype(np.float32)
    if refined:
        check_refinable(network.network)
    run = partial(_refined, network) if refined else network
    parts = [np.asarray(run(jnp.asarray(rows[i : i + _BATCH]))) for i in range(0, len(rows), _BATCH)]
    return np.concatenate(parts).reshape(*y.shape[:-1], n)


def _refined(network: PackedNetwork, y: Array) -> Array:
    return refine(network.network, y).x


def read_measurements(path: Path, m: int) -> np.ndarray:
    """A ``.npy`` of measurements, checked; raises ``ValueError`` or ``FileNotFoundError`` in one clear line."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected measurements saved with numpy.save")
    try:
        y = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path}: not a .npy file of numbers ({error}); save measurements with numpy.save") from error
    if not isinstance(y, np.ndarray):
        raise ValueError(f"{path}: an archive of several arrays; expected a single .npy array")
    if y.dtype.kind != "f":
        raise ValueError(
            f"{path}: expected real floating-point numbers, got dtype {y.dtype}; cast with y.astype('float32')"
        )
    if y.ndim == 0 or y.size == 0:
        raise ValueError(f"{path}: expected at least one measurement vector of length {m}, got shape {y.shape}")
    if y.shape[-1] != m:
        raise ValueError(f"{path}: expected a last axis of length m = {m}, got shape {y.shape}")
    if not np.isfinite(y).all():
        raise ValueError(f"{path}: contains {int((~np.isfinite(y)).sum())} NaN or infinite entries")
    if np.abs(y).max() > np.finfo(np.float32).max:
        raise ValueError(f"{path}: contains entries beyond the range of float32")
    return y
