"""Measurement noise."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import number


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
    return number("photons", photons, lambda count: 1 <= count <= 1e7, "a number from 1 to 1e7, or None for no noise")


def checked_snr(snr_db: Any) -> float | None:
    """Raise ``ValueError`` unless ``snr_db`` is None or a finite number of decibels."""
    if snr_db is None:
        return None
    return number("snr_db", snr_db, lambda _: True, "a finite number of dB, or None for no noise")
