"""A map that is not learned: the physics itself, or a matrix computed from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jaxtyping import Array

from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.representation import check_names
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.variables import Physics


@dataclass(frozen=True)
class Fixed(Format):
    """``W = A``, or what the algorithm computes from A. Stores nothing: loading computes it again from the physics.

    The mandatory baseline: with A at hand, a network of scalars alone. ``Coherent(Fixed())`` is the one with ALISTA's
    matrix, which is held in memory beside A.
    """

    @property
    def holds_zero(self) -> bool:
        return True

    def build(self, place: Place) -> Weights:
        initial = place.map.initial
        beside = 0 if initial is place.physics else initial.resident_bits()
        return Weights(self, initial.mask(), 1, given={"matrix": Physics(initial)}, held_bits=beside)

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        check_names("Fixed", packed.spec, ("format",), "field")
        check_names("Fixed", packed.arrays, (), "array")
        return self.build(place)

    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        raise ValueError("Fixed: it stores no matrix; give the physics to a network, Unrolled(..., weights=Fixed())")

    def moved(self, weights: Weights, place: Place) -> Weights:
        return self.build(place)

    def prepare(self, weights: Weights) -> Any:
        return {}

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return weights.given["matrix"].get_value()

    def rebuild(self, weights: Weights, matrices: Array) -> Weights:
        return weights

    def unquantised(self, weights: Weights, floats: Format) -> Weights:
        return weights

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return ("not learned: A itself" if not weights.held_bits else "not learned: computed from A",)
