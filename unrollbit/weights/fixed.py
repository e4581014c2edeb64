"""A map that is not learned: the physics itself, or a matrix computed from it."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.variables import Physics
from unrollbit.weights.base import Arrays, PackedWeights, Weights, check_names


class Fixed(Weights):
    """``W = A`` (or what the algorithm computes from A). Stores nothing: loading recomputes it from the physics.

    The mandatory baseline: with A at hand, a network of scalars alone. ``coherent`` makes the one with ALISTA's matrix,
    which is held in memory beside A.
    """

    def __init__(self, matrix: LinearOperator, *, shared: bool, coherent: bool = False) -> None:
        self.operator = Physics(matrix)
        self.structure = matrix.mask()
        self.copies = 1
        self.shared = shared  # the very object that the network holds as its physics
        self.coherent = coherent

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Fixed:
        return cls(linear_map.initial, shared=linear_map.initial is physics)

    @classmethod
    def coherent_with(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Fixed:
        """Factory of the matrix of least coherence with A, ALISTA's; for maps of the shape of A."""
        if not linear_map.transposed:
            raise ValueError("Fixed: the matrix of least coherence is for maps of the shape of A, applied as W^T")
        return cls(coherence_matrix(physics), shared=False, coherent=True)

    def prepare(self) -> Any:
        return {}

    def matrix(self, parameters: Any) -> LinearOperator:
        return self.operator.get_value()

    def stored_weights(self) -> int:
        return 0

    def weight_bits(self) -> int:
        return 0

    def scale_bits(self) -> int:
        return 0

    def resident_bits(self) -> int:
        return 0 if self.shared else self.operator.get_value().resident_bits()

    def pack(self) -> PackedWeights:
        return PackedWeights({"kind": "Fixed", "coherent": self.coherent}, {})

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        check_names("Fixed", spec, ("kind", "coherent"), "field")
        check_names("Fixed", arrays, (), "array")
        if not isinstance(spec["coherent"], bool):
            raise ValueError(f"Fixed: expected coherent true or false, got {spec['coherent']!r}")
        make = cls.coherent_with if spec["coherent"] else cls.for_map
        return make(linear_map, physics)

    def rebuild(self, matrices: Array) -> Weights:
        return self

    def unquantised(self) -> Weights:
        return self

    def dense(self) -> Array:
        return jnp.asarray(self.operator.get_value().dense())[None]
