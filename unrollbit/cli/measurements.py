"""Measurements of the user's own, and what a network makes of them."""

from __future__ import annotations

from functools import partial

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
    return np.concatenate(parts).reshape(*y.shape[:-1], n).astype(y.dtype)


def with_error_bars(
    network: PackedNetwork, y: Float[np.ndarray, "*batch m"]
) -> tuple[Float[np.ndarray, "*batch n"], Float[np.ndarray, "*batch"]]:
    """The network's estimates and their error bars, in batches."""
    m, n = network.network.operator.shape
    rows = y.reshape(-1, m).astype(np.float32)
    parts = [network.recover(jnp.asarray(rows[i : i + _BATCH]), error_bar=True) for i in range(0, len(rows), _BATCH)]
    x, bars = (np.concatenate([np.asarray(part) for part in column]) for column in zip(*parts, strict=True))
    return x.reshape(*y.shape[:-1], n).astype(y.dtype), bars.reshape(y.shape[:-1]).astype(y.dtype)


def _refined(network: PackedNetwork, y: Array) -> Array:
    return refine(network.network, y).x
