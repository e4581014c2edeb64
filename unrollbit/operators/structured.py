"""Matrices given by a core and its structure, and diagonal matrices: what weight formats produce."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.specs import check_fields
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Structured(LinearOperator):
    """A matrix as the core of a ``Structure`` (entries outside the structure are zero in the core).

    Raises ``ValueError`` unless ``entries`` has the shape of the structure's cores, and (read from a file) is finite.
    """

    entries: Array = field(metadata={"spec": "core"})
    structure: Structure = field(metadata={"static": True})

    def __post_init__(self) -> None:
        expected = self.structure.core_shape
        if self.entries.shape != expected:
            raise ValueError(f"Structured: expected a core of shape {expected}, got {self.entries.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.structure.shape

    def _apply(self, x: Array) -> Array:
        return self.structure.matvec(self.entries, x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.structure.rmatvec(self.entries, y)

    def __add__(self, other: Any) -> Any:
        """Cores of one structure add up to a core."""
        # operators of Python ask what the other side is; only cores that are held add without being formed
        if isinstance(other, Structured) and other.structure == self.structure:
            return Structured(self.entries + other.entries, self.structure)
        return super().__add__(other)

    def dense(self) -> Array:
        return self.structure.scatter(self.entries)

    def core(self, structure: Structure) -> Array:
        return self.entries if structure == self.structure else super().core(structure)

    @jax.jit
    def column_norms(self) -> Array:
        return self.structure.column_norms(self.entries)

    def mask(self) -> Structure:
        return self.structure

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Structured:
        check_fields(cls, given, ("core", "structure"))
        structure = Structure.from_spec(given["structure"])
        return cls(finite_array("core", given["core"], len(structure.core_shape)), structure)


def masked(core: Array, structure: Structure) -> Structured:
    """The operator of a core whose entries outside an irregular mask are cleared."""
    exists = structure.core_mask
    return Structured(core if exists is None else core * exists, structure)


@pytree
@dataclass(frozen=True)
class Diagonal(LinearOperator):
    """``diag(d)``. Raises ``ValueError`` unless d is a finite vector."""

    diagonal: Float[Array, " n"]

    def __post_init__(self) -> None:
        set_field(self, "diagonal", finite_array("diagonal", self.diagonal, 1))

    @property
    def shape(self) -> tuple[int, int]:
        return self.diagonal.shape[-1], self.diagonal.shape[-1]

    @property
    def diagonal_entries(self) -> Array:
        return self.diagonal

    def _apply(self, x: Array) -> Array:
        return self.diagonal * x

    def _apply_adjoint(self, y: Array) -> Array:
        return self.diagonal * y

    def column_norms(self) -> Array:
        return abs(self.diagonal)

    def mask(self) -> Structure:
        return Full(*self.shape)
