"""One-bit weights that run on their packed bits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator, Structure
from unrollbit.operators.packed import PackedSigns, Scale, packed_mask
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.variables import Physics
from unrollbit.weights.base import Arrays, PackedWeights, Weights
from unrollbit.weights.planes import SignPlanes
from unrollbit.weights.surrogates import identity


class FrozenOneBit(SignPlanes):
    """One-bit weights that run on their packed bits; made by ``load``."""

    def __init__(self, signs: np.ndarray, log_scales: np.ndarray | None, structure: Structure, scale: Scale) -> None:
        self.structure = structure
        self.scale: Scale = scale
        self.copies, self.planes = signs.shape[:2]
        exists = structure.core_mask
        if exists is not None:  # the file lists existing entries only; products want whole rows
            values = np.ones((self.copies, self.planes, *structure.core_shape), np.int8)
            values[:, :, exists] = np.asarray(unpack_signs(jnp.asarray(signs), structure.size, jnp.int8))
            signs = pack_signs(values)
        self.signs = Physics(jnp.asarray(signs))
        self.exists = Physics(packed_mask(structure))
        self.log_scales = None if log_scales is None else Physics(jnp.asarray(log_scales))

    def prepare(self) -> tuple[Array, Array]:
        return self.signs[...], self._scales()

    def matrix(self, parameters: tuple[Array, Array]) -> LinearOperator:
        signs, scales = parameters
        return PackedSigns(signs, scales, self.exists.get_value(), self.structure, self.scale)

    def pack(self) -> PackedWeights:
        signs, exists = np.asarray(self.signs[...]), self.structure.core_mask
        if exists is not None:
            rows = np.asarray(unpack_signs(jnp.asarray(signs), self.structure.core_shape[-1], jnp.int8))
            signs = pack_signs(rows[:, :, exists])
        arrays = {"signs": signs}
        if self.log_scales is not None:
            arrays["log_scales"] = np.asarray(self.log_scales[...])
        fields = {"copies": self.copies, "planes": self.planes, "scale": self.scale}
        spec = {"kind": "OneBit", **fields, "structure": self.structure.to_spec(), "surrogate": identity().to_spec()}
        return PackedWeights(spec, arrays)

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Weights:
        raise TypeError("FrozenOneBit weights are read from files; build with OneBit")

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        raise ValueError("files name the format 'OneBit'")

    def rebuild(self, matrices: Array) -> Weights:
        raise TypeError("FrozenOneBit weights do not train; read the file with trainable=True")
