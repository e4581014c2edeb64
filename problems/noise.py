"""Measurement noise."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def add_gaussian_noise(key: Array, y: Float[Array, "*batch m"], snr_db: float | None) -> Float[Array, "*batch m"]:
    """``y + e`` with i.i.d. Gaussian ``e`` of standard deviation ``||y|| / sqrt(m) * 10^(-snr_db / 20)`` per signal.

    The signal-to-noise ratio is that of each single signal, as in Open-L2O (Chen et al., JMLR 2022). None: no noise.
    """
    if snr_db is None:
        return y
    level = jnp.sqrt(jnp.mean(y * y, axis=-1, keepdims=True)) * 10.0 ** (-snr_db / 20.0)
    return y + level * jax.random.normal(key, y.shape, y.dtype)


def add_poisson_noise(key: Array, y: Float[Array, "*batch m"], photons: float) -> Float[Array, "*batch m"]:
    """Counts over ``photons``: ``N / photons`` with ``N ~ Poisson(photons y)``; mean y, variance y / photons.

    Negative intensities, which no detector sees, count as 0.
    """
    counts = jax.random.poisson(key, photons * jnp.maximum(y, 0), dtype=jnp.int32)
    return counts.astype(y.dtype) / photons


def checked_photons(photons: Any) -> float | None:
    """Raise ``ValueError`` unless ``photons`` is None or a number in [1, 1e7]."""
    if photons is None:
        return None
    if isinstance(photons, bool) or not isinstance(photons, int | float) or not 1 <= photons <= 1e7:
        raise ValueError(f"photons: expected a number from 1 to 1e7, or nothing for no noise; got {photons!r}")
    return float(photons)


def checked_snr(snr_db: Any) -> float | None:
    """Raise ``ValueError`` unless ``snr_db`` is None or a finite number of decibels."""
    if snr_db is None:
        return None
    if isinstance(snr_db, bool) or not isinstance(snr_db, int | float) or not math.isfinite(snr_db):
        raise ValueError(f"snr_db: expected a finite number of dB, or nothing for no noise; got {snr_db!r}")
    return float(snr_db)
