"""Matrices whose columns are normalised by the physics, and filters of unit norm."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import norm, over
from unrollbit.formats.base import Format, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import Composition, LinearOperator
from unrollbit.operators.structured import Diagonal, Structured
from unrollbit.structures import Structure

_SMALLEST = 1e-6  # of the largest product of a column with its unknown's


@dataclass(frozen=True)
class Normalised(Wrapper):
    """``W D`` with ``D_j = 1 / (w_j^T a_j)``, so that ``diag((W D)^T A) = 1``: computable from W and A, stores nothing.

    A column that is orthogonal to its unknown's keeps a bounded gain; one that is zero, or whose unknown is not
    measured, gets none. Source: the scale-free form of the constraint ``w_j^T a_j = 1`` of ALISTA (Liu et al. 2019).
    """

    normalisable: ClassVar[bool] = False  # its columns are normalised already
    words: ClassVar[str] = "columns normalised with A"
    inner: Format

    def inside(self, place: Place) -> Place:
        place.check_transposed("Normalised")
        return place

    def wrap(self, place: Place, inner: Weights) -> Weights:
        """Weights that do not train get their diagonals computed once; others normalise with A in every layer."""
        held = 32 * inner.copies * inner.shape[1]
        shapes = jax.eval_shape(lambda weights: weights.layer(0).prepare(), inner)
        reference = place.physics.core(shapes.mask())
        if inner.stored_weights() and not inner.packed:
            return self.enclose(inner, {"reference": reference}, held_bits=held)
        diagonals = _diagonals(inner, reference, inner.copies if inner.packed else 1)
        return self.enclose(inner, {"diagonals": diagonals}, held_bits=held)

    def prepare(self, weights: Weights) -> Any:
        diagonals = weights.given["diagonals"][...] if "diagonals" in weights.given else None
        return super().prepare(weights), diagonals

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        matrix, diagonal = super().matrix(weights, parameters[0]), parameters[1]
        if diagonal is None:
            diagonal = reciprocal(matrix.column_products(weights.given["reference"][...]))
        return Composition(matrix, Diagonal(diagonal))


@functools.partial(jax.jit, static_argnums=2)
def _diagonals(inner: Weights, reference: Array, count: int) -> Array:
    layers = (inner.layer(k).prepare() for k in range(count))
    return jnp.stack([reciprocal(layer.column_products(reference)) for layer in layers])


@jax.jit
def reciprocal(products: Float[Array, " n"]) -> Float[Array, " n"]:
    """``1 / d``: at most 1e6 times that of the largest, and 0 for 0."""
    size = jnp.abs(products)
    floor = jnp.maximum(size, _SMALLEST * jnp.max(size))
    return jnp.where(size > 0, jnp.sign(products), 0.0) / jnp.where(size > 0, floor, 1.0)


@dataclass(frozen=True)
class UnitFilters(Wrapper):
    """``w = (v - mean v) / ||v - mean v||`` for every filter v of a bank: constants pass no filter, and the size of a
    response is that of its influence function. Computed from the taps; stores nothing, and training differentiates
    through it.

    Source: Chen and Pock, "Trainable nonlinear reaction diffusion", IEEE PAMI 39 (2017), section 3.3, where filters are
    combinations of the atoms of a cosine transform without the constant one, over their norm.
    """

    normalisable: ClassVar[bool] = False  # its filters are normalised already
    signed: ClassVar[bool] = False  # filters have nothing to do with the physics
    words: ClassVar[str] = "filters without a mean, of unit norm"
    inner: Format

    def inside(self, place: Place) -> Place:
        """All filters start with taps of mean magnitude 1: none of them turns its signs sooner."""
        structure = place.map.structure
        core = place.map.initial.core(structure)
        size = jnp.mean(jnp.abs(core), axis=tuple(range(core.ndim - 1)))
        return place.starting_at(Structured(over(core, size), structure))

    def wrap(self, place: Place, inner: Weights) -> Weights:
        structure = inner.structure
        if len(structure.core_shape) < 2 or not structure.shared:
            raise ValueError(f"UnitFilters: expected a map that is a bank of filters, got one of {structure}")
        return self.enclose(inner)

    def from_cores(self, cores: Array, structure: Structure) -> Weights:
        return self.enclose(self.inner.from_cores(cores, structure))

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        structure = weights.structure
        return Structured(unit_filters(super().matrix(weights, parameters).core(structure)), structure)


def unit_filters(core: Float[Array, "*taps channels"]) -> Float[Array, "*taps channels"]:
    """Each filter minus its mean, over its norm; 0 where nothing is left.

    Example:
        >>> unit_filters(jnp.array([[1.0, 1.0], [-1.0, 1.0]])).round(3).tolist()
        [[0.7070000171661377, 0.0], [-0.7070000171661377, 0.0]]
    """
    flat = core.reshape(math.prod(core.shape[:-1]), core.shape[-1])
    centred = flat - jnp.mean(flat, axis=0)
    return over(centred, norm(centred, axis=0)).reshape(core.shape)
