"""Weights that correct their start: ``W = A + V``, with A at hand anyway and V in any format."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Array

from unrollbit.arguments import number
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

    Full precision starts at ``V = 0``. Signs times positive scales are never 0, and a scale that is nearly 0 hardly
    trains: other formats start near ``V = share W_0``, ``Designed`` signs as designed.

    Args:
        inner: the format of V.
        share: where V starts, 0 to 1. Of 0, 1/256, 1/16, 1/4 and 1, the last three train alike without a stage in
            full precision (ISTA and AMP, sparse recovery), the first two lose up to 1.8 dB. With 0 W starts at W_0 up
            to rounding: for recipes that begin in full precision, and networks that shall not start behind W_0.
    """

    inner: Format
    share: float = 2.0**-4  # the smallest that trains is nearest to W_0

    def __post_init__(self) -> None:
        number("share", self.share, lambda share: 0 <= share <= 1, "a number from 0 to 1")

    def inside(self, place: Place) -> Place:
        """Formats start at their map's value: 0, or a little of W_0 where a format cannot hold 0."""
        anchor = place.map.initial
        return replace(place.starting_at((0.0 if self.holds_zero else self.share) * anchor), around=anchor)

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
