"""``unrollbit recover FILE Y.npy X.npy``: apply a packed network to measurements."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.cli.common import add_common, open_network, write_json
from unrollbit.networks import Unrolled, refine
from unrollbit.packed import PackedNetwork

_BATCH = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("network", type=Path, metavar="FILE", help="packed network (or run folder)")
    parser.add_argument(
        "measurements", type=Path, metavar="Y.npy", help="measurements, shape (m,) or (..., m), real floats"
    )
    parser.add_argument(
        "estimates", type=Path, metavar="X.npy", help="where to write the estimates, shape (n,) or (..., n)"
    )
    parser.add_argument(
        "--refine", action="store_true", help="repeat the last layers for signals that have not settled (slower)"
    )
    add_common(parser, out="folder for recover.json")


def run(options: argparse.Namespace) -> None:
    """Recover and write."""
    network = open_network(options.network)
    m, n = network.network.operator.shape
    y = read_measurements(options.measurements, m)
    rows = y.reshape(-1, m).astype(np.float32)
    run_batch = partial(_refined, network) if options.refine else network
    parts = [np.asarray(run_batch(jnp.asarray(rows[i : i + _BATCH]))) for i in range(0, len(rows), _BATCH)]
    x = np.concatenate(parts).reshape(*y.shape[:-1], n)
    if not np.isfinite(x).all():
        raise ValueError(
            f"{options.measurements}: the estimate is not finite; are the measurements far outside the trained range?"
        )
    target = options.estimates
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_name(f".{target.name}.{os.getpid()}.npy")
    np.save(scratch, x)
    scratch.replace(target)
    print(
        f"wrote {target}: {len(rows)} signal{'s' if len(rows) != 1 else ''} of {n} unknowns from {m} measurements each"
    )
    result = {"signals": len(rows), "m": m, "n": n, "output": str(target)}
    write_json(options.json, result)
    if options.out is not None:
        write_json(options.out / "recover.json", result)


def _refined(network: PackedNetwork, y: Array) -> Array:
    if not isinstance(network.network, Unrolled):
        raise ValueError("--refine: only unrolled networks have layers to repeat; this one is fully connected")
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
