"""Filters without a mean and of unit norm, whatever the format of their taps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import norm
from unrollbit.formats.base import Format, Place
from unrollbit.formats.cores import over
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured


@dataclass(frozen=True)
class UnitFilters(Wrapper):
    """``w = (v - mean v) / ||v - mean v||`` for every filter v of a bank: constants pass no filter, and the size of a
    response is that of its influence function. Computed from the taps; stores nothing, and training differentiates
    through it.

    Source: Chen and Pock, "Trainable nonlinear reaction diffusion", IEEE PAMI 39 (2017), section 3.3, where filters are
    combinations of the atoms of a cosine transform without the constant one, over their norm.
    """

    inner: Format

    @property
    def normalisable(self) -> bool:
        """No: its filters are normalised already."""
        return False

    def inside(self, place: Place) -> Place:
        """All filters start with taps of mean magnitude 1: none of them turns its signs sooner."""
        structure = place.map.structure
        _check_bank(structure)
        core = place.map.initial.core(structure)
        size = jnp.mean(jnp.abs(core), axis=_taps(core))
        return place.starting_at(Structured(over(core, size), structure))

    def wrap(self, place: Place, inner: Weights) -> Weights:
        _check_bank(inner.structure)
        return self.enclose(inner)

    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        return self.enclose(self.inner.from_matrix(matrix, mask, copies=copies))

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        structure = weights.structure
        return Structured(unit_filters(super().matrix(weights, parameters).core(structure)), structure)

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        """None: filters have nothing to do with the physics."""
        del physics
        return None

    def describe(self, weights: Weights) -> tuple[str, ...]:
        first, *around = super().describe(weights)
        return first, "filters without a mean, of unit norm", *around


def unit_filters(core: Float[Array, "*taps channels"]) -> Float[Array, "*taps channels"]:
    """Each filter minus its mean, over its norm; 0 where nothing is left.

    Example:
        >>> unit_filters(jnp.array([[1.0, 1.0], [-1.0, 1.0]])).round(3).tolist()
        [[0.7070000171661377, 0.0], [-0.7070000171661377, 0.0]]
    """
    flat = core.reshape(math.prod(core.shape[:-1]), core.shape[-1])
    centred = flat - jnp.mean(flat, axis=0)
    return over(centred, norm(centred, axis=0)).reshape(core.shape)


def _taps(core: Array) -> tuple[int, ...]:
    return tuple(range(core.ndim - 1))


def _check_bank(structure: Any) -> None:
    if len(structure.core_shape) < 2 or not structure.shared:
        raise ValueError(f"UnitFilters: expected a map that is a bank of filters, got one of {structure}")
