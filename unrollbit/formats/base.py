"""The contract of a weight format: a value that says how learned matrices are held."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.arguments import instance
from unrollbit.formats.cores import core_stack
from unrollbit.formats.stored import Stored
from unrollbit.operators import LinearOperator
from unrollbit.specs import Specified
from unrollbit.structures import Structure

if TYPE_CHECKING:
    from unrollbit.formats.weights import Weights


class PackedWeights(NamedTuple):
    """What a file holds of a weights object: a JSON-able spec and arrays by name."""

    spec: dict[str, Any]
    arrays: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Place:
    """Where weights stand: the map that they represent, the physics that it comes from, the number of matrices.

    ``around``: the operator that the weights are added to (``Anchored``), or None.
    """

    map: LinearMap
    physics: LinearOperator
    copies: int = 1
    around: LinearOperator | None = None

    def starting_at(self, initial: LinearOperator) -> Place:
        """The same place with another start value of the map."""
        return replace(self, map=replace(self.map, initial=initial))

    def check_transposed(self, who: str) -> None:
        """Raise ``ValueError`` unless the map has the shape of A and is applied as ``W^T``."""
        if not self.map.transposed:
            raise ValueError(f"{who}: expected a map of the shape of A, applied as W^T, got one of {self.map.shape}")


class Format(Specified, abc.ABC):
    """How learned matrices are represented: a frozen value that says everything about them but their numbers.

    The same value is what a network takes (``Unrolled(..., weights=Anchored(OneBit()))``), what a config writes
    (``weights = {kind = "Anchored", inner = {kind = "OneBit"}}``) and what a file holds.

    A format that stores matrices is a ``Representation``; one around another format is a ``Wrapper``. What has a
    default here is right for a format that stores nothing.
    """

    holds_zero: ClassVar[bool] = False  # whether it can hold a matrix of zeros and train from there
    signed: ClassVar[bool] = True  # whether signs that it stores can be measured against those of the physics
    normalisable: ClassVar[bool] = True  # whether recipes normalise the columns with the physics
    words: ClassVar[str] = ""  # for people; of a representation by default its ``repr``
    in_signal_domain: ClassVar[bool] = False  # whether its matrices live in the domain of the signal

    @property
    def parts(self) -> tuple[Format, ...]:
        """The format and those inside it, from the outside in; the last one stores everything that is stored."""
        return (self,)

    @property
    def name(self) -> str:
        """``Normalised(OneBit)``: the kinds, from the outside in."""
        return "(".join(type(part).__name__ for part in self.parts) + ")" * (len(self.parts) - 1)

    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        """The best weights for ``matrix``: (m, n), repeated, or (copies, m, n). ``mask``: a ``Structure``, or booleans.

        Raises ``ValueError`` for wrong shapes, NaN, or a matrix that the format cannot hold.
        """
        return self.from_cores(*core_stack(matrix, mask, copies))

    def from_cores(self, cores: Float[Array, "copies ..."], structure: Structure) -> Weights:
        """The best weights for cores of a structure, (copies, *core_shape)."""
        raise ValueError(
            f"{type(self).__name__}: its matrices depend on the physics; build a network, Unrolled(..., weights={self})"
        )

    def build(self, place: Place) -> Weights:
        """Weights that start at the value of the map."""
        return self.from_matrix(place.map.initial, place.map.structure, copies=place.copies)

    @abc.abstractmethod
    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        """Weights from a file. Raises ``ValueError`` for what does not fit."""

    @abc.abstractmethod
    def moved(self, weights: Weights, place: Place) -> Weights:
        """The same weights at a place of other physics. Raises ``ValueError`` where they do not fit it."""

    def prepare(self, weights: Weights) -> Any:
        """The parameters as a pytree of arrays with leading axis ``copies``."""
        return {}

    @abc.abstractmethod
    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        """One layer's matrix from one slice of ``prepare``."""

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        """The arrays that a file holds, by name."""
        return {}

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        """The operator whose signs the stored signs are measured against, or None where there is none."""
        return physics if self.signed else None

    def describe(self, weights: Weights) -> tuple[str, ...]:
        """The format in words, the representation first, then what is around it."""
        return (self.words or repr(self),)


def as_format(weights: Any) -> Format:
    """A ``weights`` argument. Raises ``TypeError`` for what is no format."""
    return instance("weights", weights, Format, "OneBit() or Anchored(OneBit())")  # pyright: ignore[reportAbstractUsage]
