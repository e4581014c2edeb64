"""Scales of quantised matrices: their granularity, shape, best value and place in a core."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.formats.cores import existing
from unrollbit.formats.stored import TINY
from unrollbit.packed_operators.packed_signs import Scale
from unrollbit.structures import Structure


def scale_shape(scale: Scale, copies: int, planes: int, structure: Structure) -> tuple[int, ...] | None:
    """Shape of the stored scales, or None where there are none."""
    m, n = structure.shape
    lead = (copies, planes)
    return {"none": None, "global": (planes,), "layer": lead, "row": (*lead, m), "column": (*lead, n)}[scale]


def mean_magnitude(core: Float[Array, "copies ..."], structure: Structure, scale: Scale) -> Array:
    """Mean of ``|core|`` over the existing entries of each stack, matrix, row or column; 1 for ``none``."""
    size, there = jnp.abs(core), existing(structure)
    if scale == "row":
        return _positive(structure.row_sum(size) / jnp.maximum(structure.row_sum(there), 1.0))
    if scale == "column":
        return _positive(structure.column_sum(size) / jnp.maximum(structure.column_sum(there), 1.0))
    axes = tuple(range(1, core.ndim))
    if scale == "layer":
        return _positive(size.sum(axes) / structure.size)
    return _positive(size.sum() / (core.shape[0] * structure.size)) if scale == "global" else jnp.ones(())


def _positive(scale: Array) -> Array:
    return jnp.maximum(scale, TINY)  # an all-zero row or matrix keeps a scale whose logarithm exists


def spread(scale: Array, granularity: Scale, structure: Structure) -> Array:
    """A scale (with any leading axes) shaped to multiply a core."""
    if granularity == "row":
        return structure.rows(scale)
    if granularity == "column":
        return structure.columns(scale)
    return scale.reshape(*scale.shape, *(1,) * len(structure.core_shape))
