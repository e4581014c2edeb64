"""Multiples of an operator."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import set_field
from unrollbit.operators.norms import Norm
from unrollbit.structures.base import Structure
from unrollbit.values import is_known, pytree


@pytree
@dataclass(frozen=True)
class Scaled(LinearOperator):
    """``factor * A``. Raises ``ValueError`` unless the factor is a finite number.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(4, 8)
        >>> (0.5 * A).norm() == 0.5 * A.norm(), 0.5 * A == Scaled(A, 0.5)
        (True, True)
    """

    operator: LinearOperator
    factor: float  # a leaf: programs compiled for one factor serve all

    def __post_init__(self) -> None:
        if not is_known(self.factor):
            return
        factor = self.factor.item() if isinstance(self.factor, jax.Array | np.generic | np.ndarray) else self.factor
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not np.isfinite(factor):
            raise ValueError(f"factor: expected a finite number, got {self.factor!r}")
        set_field(self, "factor", float(factor))

    @property
    def shape(self) -> tuple[int, int]:
        return self.operator.shape

    def _apply(self, x: Array) -> Array:
        return self.factor * self.operator._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.factor * self.operator._apply_adjoint(y)

    def linear_estimate(self, y: Array) -> Array:
        if not self.operator.inverts:
            return super().linear_estimate(y)
        nothing = jnp.equal(self.factor, 0)  # which has no inverse
        return self.operator.linear_estimate(y) * jnp.where(nothing, 0, 1 / jnp.where(nothing, 1, self.factor))

    @property
    def inverts(self) -> bool:
        return self.operator.inverts

    def resized(self, signal_shape: tuple[int, ...]) -> LinearOperator:
        return Scaled(self.operator.resized(signal_shape), self.factor)

    def fitting(self, signal_shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.operator.fitting(signal_shape)

    def accept(self, y: Array) -> Array:
        return self.operator.accept(y)

    @property
    def complex_physics(self) -> bool:
        return self.operator.complex_physics

    @property
    def preconditioned(self) -> bool:
        return self.operator.preconditioned

    @property
    def bare(self) -> LinearOperator:
        return Scaled(self.operator.bare, self.factor)

    def norm(self) -> Norm:
        inner = self.operator.norm()
        return Norm(abs(self.factor) * inner, exact=inner.exact)

    def dense(self) -> Array:
        return self.factor * self.operator.dense()

    def core(self, structure: Structure) -> Array:
        return self.factor * self.operator.core(structure)

    def column_norms(self) -> Array:
        return abs(self.factor) * self.operator.column_norms()

    def column_rms(self) -> Array:
        return abs(self.factor) * self.operator.column_rms()

    def mask(self) -> Structure:
        return self.operator.mask()

    @property
    def split(self) -> tuple[LinearOperator, LinearOperator] | None:
        parts = self.operator.split
        return None if parts is None else (Scaled(parts[0], self.factor), parts[1])

    def shared_taps(self, wider: int = 0) -> Structure:
        return self.operator.shared_taps(wider)

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        return self.operator.sign_reference(structure) if self.factor > 0 else None

    def prepare(self) -> LinearOperator:
        return Scaled(self.operator.prepare(), self.factor)

    def resident_bits(self) -> int:
        return self.operator.resident_bits()

    @property
    def frame_constant(self) -> float | None:
        constant = self.operator.frame_constant if is_known(self.factor) else None
        return None if constant is None else float(self.factor) ** 2 * constant
