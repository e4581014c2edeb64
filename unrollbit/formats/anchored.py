"""Maps that start at what the physics determines: ``W = A``, which stores nothing, and ``W = A + V``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from jaxtyping import Array

from unrollbit.arguments import check_names, number
from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.variables import Physics


@dataclass(frozen=True)
class Fixed(Format):
    """``W = A``, or what the algorithm computes from A. Stores nothing: loading computes it again from the physics.

    The mandatory baseline: with A at hand, a network of scalars alone. ``Coherent(Fixed())`` is the one with ALISTA's
    matrix, which is held in memory beside A.
    """

    holds_zero: ClassVar[bool] = True
    signed: ClassVar[bool] = False

    def build(self, place: Place) -> Weights:
        initial = place.map.initial
        beside = 0 if initial is place.physics else initial.resident_bits()
        return Weights(self, initial.mask(), 1, given={"matrix": Physics(initial)}, held_bits=beside)

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        check_names("weights of format Fixed, fields", packed.spec, ("format",))
        check_names("weights of format Fixed, arrays", packed.arrays, ())
        return self.build(place)

    def moved(self, weights: Weights, place: Place) -> Weights:
        return self.build(place)

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return weights.given["matrix"].get_value()

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return ("not learned: A itself" if not weights.held_bits else "not learned: computed from A",)


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

    signed: ClassVar[bool] = False  # what corrects A has no signs to be measured against
    inner: Format
    share: float = 2.0**-4  # the smallest that trains is nearest to W_0

    def __post_init__(self) -> None:
        number("share", self.share, lambda share: 0 <= share <= 1, "a number from 0 to 1")

    def inside(self, place: Place) -> Place:
        """Formats start at their map's value: 0, or a little of W_0 where a format cannot hold 0."""
        anchor = place.map.initial
        return replace(place.starting_at((0.0 if self.parts[-1].holds_zero else self.share) * anchor), around=anchor)

    def wrap(self, place: Place, inner: Weights) -> Weights:
        anchor = place.map.initial
        beside = 0 if anchor is place.physics else anchor.resident_bits()
        # trained matrices are sums of cores; packed ones are never formed, and A alone preconditions measurements
        anchor = anchor.bare if inner.packed else Structured(anchor.core(inner.structure), inner.structure)
        return self.enclose(inner, {"anchor": anchor}, held_bits=beside)

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return weights.given["anchor"].get_value() + super().matrix(weights, parameters)

    def inwards(self, weights: Weights, matrices: Array) -> Array:
        return matrices - weights.given["anchor"].get_value().dense()

    def describe(self, weights: Weights) -> tuple[str, ...]:
        beside = "the start value that A determines" if weights.held_bits else "A"
        first, *around = super().describe(weights)
        return first, f"anchored (added to {beside})", *around
