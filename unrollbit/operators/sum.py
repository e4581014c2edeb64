"""Sums of operators."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Sum(LinearOperator):
    """``first + second``. Raises ``ValueError`` unless their shapes are equal, and for preconditioned operators.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> (gaussian(4, 8) - gaussian(4, 8)).norm()
        0.0
    """

    first: LinearOperator
    second: LinearOperator

    def __post_init__(self) -> None:
        if self.first.preconditioned or self.second.preconditioned:
            raise ValueError("cannot add preconditioned operators: precondition their sum, or add matrices (A.bare)")
        if self.first.shape != self.second.shape:
            raise ValueError(f"cannot add operators of shapes {self.first.shape} and {self.second.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.first.shape

    def _apply(self, x: Array) -> Array:
        return self.first._apply(x) + self.second._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.first._apply_adjoint(y) + self.second._apply_adjoint(y)

    def dense(self) -> Array:
        return self.first.dense() + self.second.dense()

    def core(self, structure: Structure) -> Array:
        return self.first.core(structure) + self.second.core(structure)

    def mask(self) -> Structure:
        mask = self.first.mask()
        return mask if mask == self.second.mask() else Full(*self.shape)

    def prepare(self) -> LinearOperator:
        return Sum(self.first.prepare(), self.second.prepare())

    def resident_bits(self) -> int:
        return self.first.resident_bits() + self.second.resident_bits()
