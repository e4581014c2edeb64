"""Formats around another format, which stores everything that is stored."""

from __future__ import annotations

from typing import Any

from flax import nnx
from jaxtyping import Array

from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator


class Wrapper(Format, abstract=True):
    """A format around ``inner``: another operator made of the inner matrix, or another start for it.

    A subclass is a frozen dataclass with the field ``inner``. ``inside`` says at which place the inner weights stand,
    ``wrap`` makes the weights around them, ``matrix`` the operator.
    """

    inner: Format

    def inside(self, place: Place) -> Place:
        """The place of the inner weights. Raises ``ValueError`` where the wrapper has no meaning."""
        return place

    def wrap(self, place: Place, inner: Weights) -> Weights:
        """The weights of this format around inner ones."""
        return self.enclose(inner)

    def enclose(self, inner: Weights, given: dict[str, nnx.Variable] | None = None, **options: Any) -> Weights:
        """Weights around ``inner`` of the same structure, unless ``structure`` says another."""
        structure = options.pop("structure", inner.structure)
        return Weights(self, structure, inner.copies, inner=inner, given=given, packed=inner.packed, **options)

    @property
    def representation(self) -> Format:
        return self.inner.representation

    @property
    def name(self) -> str:
        return f"{type(self).__name__}({self.inner.name})"

    @property
    def normalisable(self) -> bool:
        return self.inner.normalisable

    @property
    def holds_zero(self) -> bool:
        return self.inner.holds_zero

    @property
    def in_signal_domain(self) -> bool:
        return self.inner.in_signal_domain

    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        kind = type(self).__name__
        raise ValueError(
            f"{kind}: its matrices depend on the physics; build a network, Unrolled(..., weights={self!r})"
        )

    def build(self, place: Place) -> Weights:
        return self.wrap(place, self.inner.build(self.inside(place)))

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        return self.wrap(place, self.inner.read(self.inside(place), packed, frozen=frozen))

    def moved(self, weights: Weights, place: Place) -> Weights:
        inner = _inner(weights)
        return self.wrap(place, inner.format.moved(inner, self.inside(place)))

    def prepare(self, weights: Weights) -> Any:
        return _inner(weights).prepare()

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return _inner(weights).matrix(parameters)

    def inwards(self, weights: Weights, matrices: Array) -> Array:
        """The inner matrices that stand for ``matrices``."""
        del weights
        return matrices

    def rebuild(self, weights: Weights, matrices: Array) -> Weights:
        return weights.around(_inner(weights).rebuild(self.inwards(weights, matrices)))

    def unquantised(self, weights: Weights, floats: Format) -> Weights:
        return weights.around(_inner(weights).unquantised(floats))

    def quantised_from(self, weights: Weights, trained: Weights) -> Weights:
        return weights.around(_inner(weights).quantised_from(_inner(trained)))

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        return self.inner.reference(physics)

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return _inner(weights).describe()


class Start(Wrapper, abstract=True):
    """A wrapper that only says how the inner weights start or which structure they have."""

    def unquantised(self, weights: Weights, floats: Format) -> Weights:
        return _inner(weights).unquantised(floats)

    def quantised_from(self, weights: Weights, trained: Weights) -> Weights:
        return weights.around(_inner(weights).quantised_from(trained))


def _inner(weights: Weights) -> Weights:
    assert weights.inner is not None
    return weights.inner
