"""The contract of a weight format: a value that says how learned matrices are held."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.formats.stored import Stored
from unrollbit.operators import LinearOperator
from unrollbit.specs import Specified
from unrollbit.structures import Structure

if TYPE_CHECKING:
    from unrollbit.formats.weights import Weights

Arrays = Mapping[str, np.ndarray]


class PackedWeights(NamedTuple):
    """What a file holds of a weights object: a JSON-able spec and arrays by name."""

    spec: dict[str, Any]
    arrays: Arrays


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

    A format that stores matrices is a ``Representation``; one around another format is a ``Wrapper``.
    """

    @property
    def representation(self) -> Format:
        """The format inside all wrappers, which stores everything that is stored."""
        return self

    @property
    def name(self) -> str:
        """``Normalised(OneBit)``: the kinds, from the outside in."""
        return type(self).__name__

    @property
    def normalisable(self) -> bool:
        """Whether recipes normalise the columns with the physics."""
        return True

    @property
    def holds_zero(self) -> bool:
        """Whether a matrix of zeros can be held and trained from there; signs times positive scales cannot."""
        return False

    @property
    def in_signal_domain(self) -> bool:
        """Whether the matrices live in the domain of the signal (``SignalDomain``)."""
        return False

    @abc.abstractmethod
    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        """The best weights for ``matrix``: (m, n), repeated, or (copies, m, n). ``mask``: a ``Structure``, or booleans.

        Raises ``ValueError`` for wrong shapes, NaN, or a matrix that the format cannot hold.
        """

    def from_cores(self, cores: Float[Array, "copies ..."], structure: Structure) -> Weights:
        """The best weights for cores of a structure, (copies, *core_shape)."""
        return self.from_matrix(structure.scatter(cores), structure, copies=cores.shape[0])

    @abc.abstractmethod
    def build(self, place: Place) -> Weights:
        """Weights that start at the value of the map."""

    @abc.abstractmethod
    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        """Weights from a file. Raises ``ValueError`` for what does not fit."""

    @abc.abstractmethod
    def moved(self, weights: Weights, place: Place) -> Weights:
        """The same weights at a place of other physics. Raises ``ValueError`` where they do not fit it."""

    @abc.abstractmethod
    def prepare(self, weights: Weights) -> Any:
        """The parameters as a pytree of arrays with leading axis ``copies``."""

    @abc.abstractmethod
    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        """One layer's matrix from one slice of ``prepare``."""

    @abc.abstractmethod
    def rebuild(self, weights: Weights, matrices: Float[Array, "copies m n"]) -> Weights:
        """The same weights, started from other matrices."""

    @abc.abstractmethod
    def unquantised(self, weights: Weights, floats: Format) -> Weights:
        """The same weights held in the format ``floats``."""

    def quantised_from(self, weights: Weights, trained: Weights) -> Weights:
        """The same weights, started from what became of ``unquantised``."""
        return self.rebuild(weights, trained.dense())

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        """The arrays that a file holds, by name; none by default."""
        del structure, copies
        return {}

    def mask_rows_bits(self, structure: Structure) -> int:
        """Bits of an irregular mask that is held beside the arrays while a loaded network runs."""
        del structure
        return 0

    def pack(self, weights: Weights) -> PackedWeights:
        """What a file holds beside the format itself; nothing by default."""
        del weights
        return PackedWeights({}, {})

    def round(self, weights: Weights) -> None:
        """Round, in place, what is stored in fewer bits than it trains in."""

    def rank_of(self, structure: Structure) -> int:
        """Rank of sign factors. Raises ``AttributeError`` for formats that have none."""
        raise AttributeError(f"{type(self).__name__} has no rank")

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        """The operator whose signs the stored signs are measured against, or None where there is none."""
        del physics
        return None

    def describe(self, weights: Weights) -> tuple[str, ...]:
        """The format in words, the representation first, then what is around it."""
        del weights
        return (repr(self),)


def as_format(weights: Any) -> Format:
    """A ``weights`` argument. Raises ``TypeError`` for what is no format."""
    if isinstance(weights, Format):
        return weights
    if isinstance(weights, type) and issubclass(weights, Format):
        raise TypeError(f"weights: expected a format, got the class {weights.__name__}; write {weights.__name__}()")
    raise TypeError(f"weights: expected a format such as OneBit() or Anchored(OneBit()), got {weights!r:.80}")
