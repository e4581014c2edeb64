"""Matrices of 32-bit floats: what every other format is compared with."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.sizes import positive_integer
from unrollbit.structures import Structure
from unrollbit.variables import MatrixParam
from unrollbit.weights.base import (
    Arrays,
    PackedWeights,
    Weights,
    as_structure,
    check_names,
    core_stack,
    required,
    stored_structure,
)


class FullPrecision(Weights):
    """``copies`` float32 matrices with the zeros of ``mask``.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = FullPrecision.from_matrix(jnp.eye(2), copies=3)
        >>> weights.dense().shape, weights.bits()
        ((3, 2, 2), 384)
    """

    def __init__(self, cores: Array, structure: Structure) -> None:
        self.cores = MatrixParam(jnp.asarray(cores, jnp.float32))
        self.structure = structure
        self.copies = cores.shape[0]

    @classmethod
    def from_matrix(cls, matrix: Any, mask: Any = None, *, copies: int = 1) -> FullPrecision:
        """From ``(m, n)`` (repeated) or ``(copies, m, n)``; raises ``ValueError`` for wrong shapes or NaN."""
        return cls(*core_stack(matrix, as_structure(mask), copies))

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> FullPrecision:
        return cls.from_matrix(linear_map.initial, linear_map.structure, copies=copies, **options)

    def prepare(self) -> Array:
        return self.cores[...]

    def matrix(self, parameters: Array) -> LinearOperator:
        exists = self.structure.core_mask
        return Structured(parameters if exists is None else parameters * exists, self.structure)

    def stored_weights(self) -> int:
        return self.copies * self.structure.size

    def weight_bits(self) -> int:
        return 32 * self.stored_weights()

    def resident_bits(self) -> int:
        return 32 * self.cores[...].size

    def scale_bits(self) -> int:
        return 0

    def pack(self) -> PackedWeights:
        cores, exists = np.asarray(self.cores[...]), self.structure.core_mask
        values = cores if exists is None else cores[:, exists]
        spec = {"kind": "FullPrecision", "copies": self.copies, "structure": self.structure.to_spec()}
        return PackedWeights(spec, {"values": values})

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        structure, copies = stored_structure(spec, linear_map), positive_integer("copies", spec["copies"])
        check_names("FullPrecision", spec, ("kind", "structure", "copies"), "field")
        check_names("FullPrecision", arrays, ("values",), "array")
        exists = structure.core_mask
        if exists is None:
            return cls(jnp.asarray(required(arrays, "values", (copies, *structure.core_shape), np.float32)), structure)
        values = required(arrays, "values", (copies, structure.size), np.float32)
        cores = np.zeros((copies, *structure.core_shape), np.float32)
        cores[:, exists] = values
        return cls(jnp.asarray(cores), structure)

    def rebuild(self, matrices: Array) -> Weights:
        return FullPrecision.from_matrix(matrices, self.structure, copies=matrices.shape[0])
