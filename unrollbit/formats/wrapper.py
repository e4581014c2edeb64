"""Formats around another format, which stores everything that is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from flax import nnx
from jaxtyping import Array

from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.variables import Physics


class Wrapper(Format, abstract=True):
    """A format around ``inner``: another operator made of the inner matrix, or another start for it.

    A subclass is a frozen dataclass with the field ``inner``. ``inside`` says at which place the inner weights stand,
    ``wrap`` makes the weights around them, ``matrix`` the operator, ``words`` are for people.
    """

    inner: Format
    lasts: ClassVar[bool] = True  # around weights in another format too; False: it only says how those inside start

    def inside(self, place: Place) -> Place:
        """The place of the inner weights. Raises ``ValueError`` where the wrapper has no meaning."""
        return place

    def wrap(self, place: Place, inner: Weights) -> Weights:
        """The weights of this format around inner ones."""
        return self.enclose(inner)

    def enclose(self, inner: Weights, given: dict[str, Any] | None = None, **options: Any) -> Weights:
        """Weights around ``inner``, of its structure unless the options say another; ``given``: what the physics
        determines.
        """
        held: dict[str, nnx.Variable] = {name: Physics(value) for name, value in (given or {}).items()}
        options = {"structure": inner.structure, "copies": inner.copies, "packed": inner.packed, **options}
        return Weights(self, inner=inner, given=held, **options)

    @property
    def parts(self) -> tuple[Format, ...]:
        return (self, *self.inner.parts)

    def build(self, place: Place) -> Weights:
        return self.wrap(place, self.inner.build(self.inside(place)))

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        return self.wrap(place, self.inner.read(self.inside(place), packed, frozen=frozen))

    def moved(self, weights: Weights, place: Place) -> Weights:
        return self.wrap(place, self.inner.moved(weights.inner, self.inside(place)))

    def prepare(self, weights: Weights) -> Any:
        return weights.inner.prepare()

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return weights.inner.matrix(parameters)

    def inwards(self, weights: Weights, matrices: Array) -> Array:
        """The inner matrices that stand for ``matrices``."""
        return matrices

    def around(self, weights: Weights, inner: Weights) -> Weights:
        """The same wrapper around other weights."""
        if not self.lasts and inner.format != self.inner:
            return inner
        format: Any = replace(self, inner=inner.format)  # pyright: ignore[reportArgumentType]
        given = {name: variable.get_value() for name, variable in weights.given.items()}
        return format.enclose(inner, given, structure=weights.structure, held_bits=weights.held_bits)

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        return self.inner.reference(physics) if self.signed else None

    def describe(self, weights: Weights) -> tuple[str, ...]:
        first, *around = weights.inner.format.describe(weights.inner)
        return first, *filter(None, (self.words,)), *around
