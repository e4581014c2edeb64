"""Products of operators."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.norms import Norm
from unrollbit.structures.base import Structure
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Composition(LinearOperator):
    """``outer @ inner``: ``x -> outer(inner(x))``, for example measurement after wavelet synthesis.

    Raises ``ValueError`` if the sizes do not meet, and for a preconditioned inner operator.

    Example:
        >>> from unrollbit.operators import Hadamard, Wavelet
        >>> (Hadamard(8, 16) @ Wavelet.of(16, "db2")).shape
        (8, 16)
    """

    outer: LinearOperator
    inner: LinearOperator

    def __post_init__(self) -> None:
        outer, inner = self.outer.shape, self.inner.shape
        if outer[1] != inner[0]:
            raise ValueError(f"cannot compose operators of shapes {outer} and {inner}: inner sizes differ")
        if self.inner.preconditioned:
            raise ValueError("cannot compose with a preconditioned inner operator: precondition the composition")

    @property
    def shape(self) -> tuple[int, int]:
        return self.outer.shape[0], self.inner.shape[1]

    def _apply(self, x: Array) -> Array:
        return self.outer._apply(self.inner._apply(x))

    def _apply_adjoint(self, y: Array) -> Array:
        return self.inner._apply_adjoint(self.outer._apply_adjoint(y))

    def core(self, structure: Structure) -> Array:
        """A diagonal factor multiplies the core of the other one, line by line."""
        if structure.shape == self.shape and not structure.shared:
            if (rows := self.outer.diagonal_entries) is not None:
                return structure.rows(rows) * self.inner.core(structure)
            if (columns := self.inner.diagonal_entries) is not None:
                return self.outer.core(structure) * structure.columns(columns)
        return super().core(structure)

    def accept(self, y: Array) -> Array:
        return self.outer.accept(y)

    @property
    def complex_physics(self) -> bool:
        return self.outer.complex_physics

    @property
    def preconditioned(self) -> bool:
        return self.outer.preconditioned

    @property
    def bare(self) -> LinearOperator:
        return Composition(self.outer.bare, self.inner)

    def norm(self) -> Norm:
        inner, outer = self.inner.frame_constant, self.outer.T.frame_constant
        if inner is not None:  # ||A B||^2 = ||A B B^T A^T|| = c ||A||^2
            norm = self.outer.norm()
            return Norm(math.sqrt(inner) * norm, exact=norm.exact)
        if outer is not None:
            norm = self.inner.norm()
            return Norm(math.sqrt(outer) * norm, exact=norm.exact)
        return super().norm()

    def column_norms(self) -> Array:
        """Those of the inner operator times ``sqrt(c)`` where ``outer^T outer = c I``; computed for others."""
        constant = self.outer.T.frame_constant
        return super().column_norms() if constant is None else math.sqrt(constant) * self.inner.column_norms()

    def column_rms(self) -> Array:
        return self.outer.column_rms() if self.inner.is_orthogonal else super().column_rms()

    @property
    def split(self) -> tuple[LinearOperator, LinearOperator] | None:
        return (self.outer, self.inner) if self.inner.is_orthogonal else None

    def prepare(self) -> LinearOperator:
        return Composition(self.outer.prepare(), self.inner.prepare())

    def resident_bits(self) -> int:
        return self.outer.resident_bits() + self.inner.resident_bits()

    @property
    def frame_constant(self) -> float | None:
        inner, outer = self.inner.frame_constant, self.outer.frame_constant
        return None if inner is None or outer is None else inner * outer
