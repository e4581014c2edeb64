"""The adjoint of an operator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.norms import Norm
from unrollbit.structures.base import Structure
from unrollbit.values import pytree


@pytree
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

    def column_norms(self) -> Array:
        """``sqrt(c)`` for the rows of a tight frame ``A A^T = c I``; computed for others."""
        constant = self.operator.frame_constant
        return super().column_norms() if constant is None else jnp.full(self.shape[1], math.sqrt(constant))

    def column_rms(self) -> Array:
        """``||A||_F`` is that of the operator."""
        m, n = self.shape
        return self.operator.column_rms() * math.sqrt(m / n)

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
