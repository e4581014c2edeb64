"""Adjoints, products, sums and multiples of operators."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import jax
import numpy as np
from jaxtyping import Array

from unrollbit.operators.base import LinearOperator, Norm, Spec
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Adjoint(LinearOperator):
    """``A^T`` of an operator; ``A.T.T`` is ``A``."""

    operator: LinearOperator

    @property
    def shape(self) -> tuple[int, int]:
        m, n = self.operator.shape
        return n, m

    def _apply(self, x: Array) -> Array:
        return self.operator._apply_adjoint(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.operator._apply(y)

    @property
    def T(self) -> LinearOperator:
        return self.operator

    def norm(self) -> Norm:
        return self.operator.norm()

    def dense(self) -> Array:
        return self.operator.dense().T

    def mask(self) -> Structure:
        return self.operator.mask().T

    def prepare(self) -> LinearOperator:
        return self.operator.prepare().T

    def resident_bits(self) -> int:
        return self.operator.resident_bits()

    @property
    def frame_constant(self) -> float | None:
        m, n = self.operator.shape
        return self.operator.frame_constant if m == n else None

    def to_spec(self) -> Spec:
        return {"kind": "Adjoint", "operator": self.operator.to_spec()}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls(LinearOperator.from_spec(spec["operator"]))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Scaled(LinearOperator):
    """``factor * A``. Use ``Scaled.of`` to check the factor."""

    operator: LinearOperator
    factor: float = field(metadata={"static": True})

    @classmethod
    def of(cls, operator: LinearOperator, factor: float) -> Scaled:
        """Check the factor. Raises ``ValueError`` unless it is a finite number."""
        if isinstance(factor, bool) or not isinstance(factor, int | float | np.number) or not np.isfinite(factor):
            raise ValueError(f"factor: expected a finite number, got {factor!r}")
        return cls(operator, float(factor))

    @property
    def shape(self) -> tuple[int, int]:
        return self.operator.shape

    def _apply(self, x: Array) -> Array:
        return self.factor * self.operator._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.factor * self.operator._apply_adjoint(y)

    def accept(self, y: Array) -> Array:
        return self.operator.accept(y)

    @property
    def complex_physics(self) -> bool:
        return self.operator.complex_physics

    @property
    def preconditioned(self) -> bool:
        return self.operator.preconditioned

    def norm(self) -> Norm:
        inner = self.operator.norm()
        return Norm(abs(self.factor) * inner, exact=inner.exact)

    def dense(self) -> Array:
        return self.factor * self.operator.dense()

    def mask(self) -> Structure:
        return self.operator.mask()

    def prepare(self) -> LinearOperator:
        return Scaled(self.operator.prepare(), self.factor)

    def resident_bits(self) -> int:
        return self.operator.resident_bits()

    @property
    def frame_constant(self) -> float | None:
        constant = self.operator.frame_constant
        return None if constant is None else self.factor**2 * constant

    def to_spec(self) -> Spec:
        return {"kind": "Scaled", "operator": self.operator.to_spec(), "factor": self.factor}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(LinearOperator.from_spec(spec["operator"]), spec["factor"])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Composition(LinearOperator):
    """``outer @ inner``: ``x -> outer(inner(x))``, for example measurement after wavelet synthesis.

    Raises ``ValueError`` if the sizes do not meet.
    """

    outer: LinearOperator
    inner: LinearOperator

    @classmethod
    def of(cls, outer: LinearOperator, inner: LinearOperator) -> Composition:
        """Check that the sizes meet."""
        if outer.shape[1] != inner.shape[0]:
            raise ValueError(f"cannot compose operators of shapes {outer.shape} and {inner.shape}: inner sizes differ")
        if inner.preconditioned:
            raise ValueError("cannot compose with a preconditioned inner operator: precondition the composition")
        return cls(outer, inner)

    @property
    def shape(self) -> tuple[int, int]:
        return self.outer.shape[0], self.inner.shape[1]

    def _apply(self, x: Array) -> Array:
        return self.outer._apply(self.inner._apply(x))

    def _apply_adjoint(self, y: Array) -> Array:
        return self.inner._apply_adjoint(self.outer._apply_adjoint(y))

    def accept(self, y: Array) -> Array:
        return self.outer.accept(y)

    @property
    def complex_physics(self) -> bool:
        return self.outer.complex_physics

    @property
    def preconditioned(self) -> bool:
        return self.outer.preconditioned

    def norm(self) -> Norm:
        inner, outer = self.inner.frame_constant, self.outer.T.frame_constant
        if inner is not None:  # ||A B||^2 = ||A B B^T A^T|| = c ||A||^2
            norm = self.outer.norm()
            return Norm(math.sqrt(inner) * norm, exact=norm.exact)
        if outer is not None:
            norm = self.inner.norm()
            return Norm(math.sqrt(outer) * norm, exact=norm.exact)
        return super().norm()

    def column_rms(self) -> Array | float:
        return self.outer.column_rms() if self.inner.is_orthogonal else super().column_rms()

    def mask(self) -> Structure:
        return Full(*self.shape)

    def prepare(self) -> LinearOperator:
        return Composition(self.outer.prepare(), self.inner.prepare())

    def resident_bits(self) -> int:
        return self.outer.resident_bits() + self.inner.resident_bits()

    @property
    def frame_constant(self) -> float | None:
        inner, outer = self.inner.frame_constant, self.outer.frame_constant
        return None if inner is None or outer is None else inner * outer

    def to_spec(self) -> Spec:
        return {"kind": "Composition", "outer": self.outer.to_spec(), "inner": self.inner.to_spec()}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(LinearOperator.from_spec(spec["outer"]), LinearOperator.from_spec(spec["inner"]))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sum(LinearOperator):
    """``first + second``. Use ``Sum.of`` to check that the shapes agree."""

    first: LinearOperator
    second: LinearOperator

    @classmethod
    def of(cls, first: LinearOperator, second: LinearOperator) -> Sum:
        """Check the shapes. Raises ``ValueError`` unless they are equal, and for preconditioned operators."""
        if first.preconditioned or second.preconditioned:
            raise ValueError("cannot add preconditioned operators: precondition their sum")
        if first.shape != second.shape:
            raise ValueError(f"cannot add operators of shapes {first.shape} and {second.shape}")
        return cls(first, second)

    @property
    def shape(self) -> tuple[int, int]:
        return self.first.shape

    def _apply(self, x: Array) -> Array:
        return self.first._apply(x) + self.second._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.first._apply_adjoint(y) + self.second._apply_adjoint(y)

    def dense(self) -> Array:
        return self.first.dense() + self.second.dense()

    def mask(self) -> Structure:
        mask = self.first.mask()
        return mask if mask == self.second.mask() else Full(*self.shape)

    def prepare(self) -> LinearOperator:
        return Sum(self.first.prepare(), self.second.prepare())

    def resident_bits(self) -> int:
        return self.first.resident_bits() + self.second.resident_bits()

    def to_spec(self) -> Spec:
        return {"kind": "Sum", "first": self.first.to_spec(), "second": self.second.to_spec()}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls.of(LinearOperator.from_spec(spec["first"]), LinearOperator.from_spec(spec["second"]))
