"""Columns normalised by the physics: ``diag(W^T A) = 1``."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.formats.base import Format, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import Composition, LinearOperator
from unrollbit.operators.structured import Diagonal
from unrollbit.variables import Physics

_SMALLEST = 1e-6  # of the largest product of a column with its unknown's


@dataclass(frozen=True)
class Normalised(Wrapper):
    """``W D`` with ``D_j = 1 / (w_j^T a_j)``, so that ``diag((W D)^T A) = 1``: computable from W and A, stores nothing.

    A column that is orthogonal to its unknown's keeps a bounded gain; one that is zero, or whose unknown is not
    measured, gets none. Source: the scale-free form of the constraint ``w_j^T a_j = 1`` of ALISTA (Liu et al. 2019).
    """

    inner: Format

    @property
    def normalisable(self) -> bool:
        """No: its columns are normalised already."""
        return False

    def inside(self, place: Place) -> Place:
        place.check_transposed("Normalised")
        return place

    def wrap(self, place: Place, inner: Weights) -> Weights:
        """Weights that do not train get their diagonals computed once; others normalise with A in every layer."""
        held = 32 * inner.copies * inner.shape[1]
        shapes = jax.eval_shape(lambda weights: weights.layer(0).prepare(), inner)
        reference = place.physics.core(shapes.mask())
        if inner.stored_weights() and not inner.packed:
            return self.enclose(inner, {"reference": Physics(reference)}, held_bits=held)
        diagonals = _diagonals(inner, reference, inner.copies if inner.packed else 1)
        return self.enclose(inner, {"diagonals": Physics(diagonals)}, held_bits=held)

    def prepare(self, weights: Weights) -> Any:
        diagonals = weights.given["diagonals"][...] if "diagonals" in weights.given else None
        return super().prepare(weights), diagonals

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        matrix, diagonal = super().matrix(weights, parameters[0]), parameters[1]
        if diagonal is None:
            diagonal = reciprocal(matrix.column_products(weights.given["reference"][...]))
        return Composition(matrix, Diagonal(diagonal))

    def describe(self, weights: Weights) -> tuple[str, ...]:
        first, *around = super().describe(weights)
        return first, "columns normalised with A", *around


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
