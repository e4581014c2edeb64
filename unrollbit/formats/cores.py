"""Cores of matrices: how they are stacked, and means over the entries that exist."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.arguments import integer
from unrollbit.arrays import over
from unrollbit.operators import LinearOperator
from unrollbit.structures import Full, Indexed, Structure


def core_stack(matrices: Any, mask: Any, copies: int) -> tuple[Array, Structure]:
    """Cores ``(copies, *core_shape)`` of one matrix (repeated) or of a stack of ``copies`` matrices; the structure of a
    mask (``Structure``, booleans or None).

    The one matrix may be an operator, whose matrix is formed only where its parts do not give the core. Raises
    ``ValueError`` for matrices that are not real, finite, 2-D or a stack of ``copies`` of them.
    """
    structure = mask if mask is None or isinstance(mask, Structure) else Indexed.from_mask(np.asarray(mask))
    copies = integer("copies", copies, 1)
    if isinstance(matrices, LinearOperator):
        if structure is not None and structure.shape == matrices.shape:
            core = jnp.asarray(matrices.core(structure), jnp.float32)
            return jnp.broadcast_to(core, (copies, *core.shape)), structure
        matrices = matrices.dense()
    array = jnp.asarray(matrices, jnp.float32)
    if array.ndim == 2:
        array = jnp.broadcast_to(array, (copies, *array.shape))
    if array.ndim != 3 or array.shape[0] != copies or array.size == 0:
        raise ValueError(f"matrix: expected shape (m, n) or ({copies}, m, n), got {jnp.shape(matrices)}")
    if not bool(jnp.isfinite(array).all()):
        raise ValueError("matrix: contains NaN or infinite entries")
    structure = Full(array.shape[1], array.shape[2]) if structure is None else structure
    if structure.shape != array.shape[1:]:
        raise ValueError(f"mask: expected shape {array.shape[1:]}, got {structure.shape}")
    return structure.gather(array), structure


def mean_of(cores: Array, structure: Structure) -> Array:
    """Mean over the existing entries of each core, one number for each leading index (others must be 0)."""
    axes = tuple(range(cores.ndim - len(structure.core_shape), cores.ndim))
    return cores.sum(axes) / structure.size


@functools.partial(jax.jit, static_argnums=1)
def normalised_latents(cores: Array, structure: Structure) -> Array:
    """Cores over their mean magnitude: latents on which one learning rate fits all."""
    return over(cores, jnp.sum(jnp.abs(cores)) / (cores.shape[0] * structure.size))


def with_magnitude(latents: Array, magnitude: Array, structure: Structure) -> Array:
    """Cores that are the latents times a factor each, of the mean magnitude of a core each."""
    there = structure.existing
    latents = latents * there
    axes = tuple(range(1, latents.ndim))
    wanted = jnp.broadcast_to(magnitude * there, latents.shape).sum(axes, keepdims=True)
    return latents * over(wanted, jnp.abs(latents).sum(axes, keepdims=True))
