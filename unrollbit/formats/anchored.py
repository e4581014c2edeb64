"""Weights that correct their start: ``W = A + V``, with A at hand anyway and V in any format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Array

from unrollbit.formats.base import Format, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.variables import Physics


@dataclass(frozen=True)
class Anchored(Wrapper):
    """``W = W_0 + V``: the map's start value W_0, which the physics determines, plus weights V that correct it.

    W_0 stores nothing: loading computes it again, as ``Fixed`` does. For most maps it is the physics A itself, which is
    held in memory anyway and costs no bit; another matrix (the regularised inverse of ADMM) is held beside A and
    counted in ``resident_bits``. V in one sign plane around A brings W about as close to ALISTA's matrix as two planes
    without A do. A product with W costs one with W_0 and one with V.
    """

    inner: Format

    def inside(self, place: Place) -> Place:
        anchor = place.map.initial  # formats start at their map's value: V = 0
        return replace(place.starting_at(0.0 * anchor), around=anchor)

    def wrap(self, place: Place, inner: Weights) -> Weights:
        anchor = place.map.initial
        beside = 0 if anchor is place.physics else anchor.resident_bits()
        # trained matrices are sums of cores; packed ones are never formed, and A alone preconditions measurements
        anchor = anchor.bare if inner.packed else Structured(anchor.core(inner.structure), inner.structure)
        return self.enclose(inner, {"anchor": Physics(anchor)}, held_bits=beside)

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return weights.given["anchor"].get_value() + super().matrix(weights, parameters)

    def inwards(self, weights: Weights, matrices: Array) -> Array:
        return matrices - weights.given["anchor"].get_value().dense()

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        """None: what corrects A has no signs to be measured against."""
        del physics
        return None

    def describe(self, weights: Weights) -> tuple[str, ...]:
        beside = "the start value that A determines" if weights.held_bits else "A"
        first, *around = super().describe(weights)
        return first, f"anchored (added to {beside})", *around
