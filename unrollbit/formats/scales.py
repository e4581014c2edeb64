"""Scales of quantised matrices: their granularity, shape, best value and place in a core, and how they are stored."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.formats.cores import existing
from unrollbit.formats.stored import SINGLE, TINY, Stored
from unrollbit.packed_operators.packed_signs import Scale
from unrollbit.structures import Structure
from unrollbit.variables import ScaleParam


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


@dataclass(frozen=True)
class Floats(Stored):
    """Scales, or their logarithms, of a stored dtype. ``positive`` ones must be, and train as logarithms; none may
    exceed ``largest``.
    """

    lead: tuple[int, ...]
    kind: np.dtype[Any] = SINGLE
    positive: bool = False
    largest: float = math.inf

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lead

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.kind

    @property
    def scale_bits(self) -> int:
        return 8 * self.dtype.itemsize * math.prod(self.shape)

    @property
    def resident_bits(self) -> int:
        return self.scale_bits

    def variable(self, values: Array) -> nnx.Param:
        return ScaleParam(self._trained(jnp.asarray(values, jnp.float32)))

    @functools.partial(jax.jit, static_argnums=0)
    def _trained(self, values: Array) -> Array:
        return jnp.log(jnp.maximum(values, TINY)) if self.positive else values

    def values(self, trained: Array) -> Array:
        return jnp.exp(trained) if self.positive else trained

    @functools.partial(jax.jit, static_argnums=0)
    def rounded(self, trained: Array) -> Array:
        if self.dtype == SINGLE:
            return trained
        held = self.values(trained).astype(self.dtype).astype(jnp.float32)
        return jnp.log(held) if self.positive else held

    def encode(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float32).astype(self.dtype)

    def decode(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32)

    def check(self, name: str, array: np.ndarray) -> None:
        values = array.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"array {name!r} has NaN or infinite entries")
        if (values > self.largest).any():
            raise ValueError(f"array {name!r}: {values.max()} is too large for a float32 scale")
        if self.positive and not (values > 0).all():
            raise ValueError(f"array {name!r}: expected scales > 0, got {values.min()}")

    def expand(self, held: Array) -> Array:
        return held.astype(jnp.float32)
