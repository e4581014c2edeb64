"""Real operators whose measurements are complex numbers, stacked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array, UInt8

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.norms import Norm
from unrollbit.structures.base import Structure
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class ComplexMeasurements(LinearOperator):
    """A real operator whose measurement is (Re, Im) of ``m / 2`` complex numbers: they may be given as such.

    ``as_operator`` of a complex matrix C makes one of the real matrix (Re C; Im C). Raises ``ValueError`` for an odd
    number of measurements, and for preconditioned operators.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.algorithms import GradientDescent, solve
        >>> from unrollbit.operators import as_operator
        >>> A = as_operator([[1.0, 2.0j], [1.0j, 1.0]])
        >>> A.shape, A(jnp.array([1.0, 1.0]))
        ((4, 2), Array([1., 1., 2., 1.], dtype=float32))
        >>> solve(GradientDescent(), A, jnp.array([1 + 2j, 1 + 1j]), 200).x.round(3)
        Array([1., 1.], dtype=float32)
    """

    operator: LinearOperator

    def __post_init__(self) -> None:
        if self.operator.shape[0] % 2:
            raise ValueError(
                "ComplexMeasurements: expected real, then imaginary parts, an even number of measurements; got "
                f"{self.operator.shape[0]}"
            )
        if self.operator.preconditioned:
            raise ValueError("ComplexMeasurements: the operator is preconditioned; precondition what this class makes")

    @property
    def shape(self) -> tuple[int, int]:
        return self.operator.shape

    def _apply(self, x: Array) -> Array:
        return self.operator._apply(x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.operator._apply_adjoint(y)

    @property
    def complex_physics(self) -> bool:
        return True

    def resized(self, signal_shape: tuple[int, ...]) -> LinearOperator:
        return ComplexMeasurements(self.operator.resized(signal_shape))

    def linear_estimate(self, y: Array) -> Array:
        return self.operator.linear_estimate(y)

    @property
    def inverts(self) -> bool:
        return self.operator.inverts

    def norm(self) -> Norm:
        return self.operator.norm()

    def dense(self) -> Array:
        return self.operator.dense()

    def core(self, structure: Structure) -> Array:
        return self.operator.core(structure)

    def column_norms(self) -> Array:
        return self.operator.column_norms()

    def column_rms(self) -> Array:
        return self.operator.column_rms()

    def mask(self) -> Structure:
        return self.operator.mask()

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        return self.operator.sign_reference(structure)

    def prepare(self) -> LinearOperator:
        return ComplexMeasurements(self.operator.prepare())

    def resident_bits(self) -> int:
        return self.operator.resident_bits()

    def physics_bits(self) -> int:
        return self.operator.physics_bits()

    @property
    def frame_constant(self) -> float | None:
        return self.operator.frame_constant
