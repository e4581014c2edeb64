"""Products with a matrix of packed ternary weights that never form the matrix in floats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Array

from unrollbit.kernels.portable import product
from unrollbit.packed_operators.packed_signs import PackedSigns, checked_planes
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.trits import PerByte, check_trits, trit_at, trit_bytes, unpack_trits
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class PackedTernary(PackedSigns):
    """``W = sum_p c_p T_p`` with entries of T in {-1, 0, 1}, unpacked a few rows at a time inside a scan.

    ``bits`` holds ``per_byte`` weights a byte (``unrollbit.trits``). What a mask forbids is a zero like any other.
    """

    per_byte: PerByte = field(default=5, metadata={"static": True})

    def _unpacked(self, packed: Array, n: int, dtype: Any) -> Array:
        return unpack_trits(packed, n, self.per_byte, dtype)

    def _entries(self, packed: Array, at: Array, dtype: Any) -> Array:
        return trit_at(packed, at, self.per_byte, dtype)

    def _product(self, x: Array, transpose: bool) -> Array:
        layout, bits, scales, exists = self._blocked()
        out = product(
            layout, bits, scales, exists, x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), transpose, self._unpacked
        )
        return out.reshape(*x.shape[:-1], out.shape[-1])

    def resident_bits(self) -> int:
        """Rows padded to whole bytes, scales at 32 bits, and the indices of a sparse matrix."""
        return 32 * self.scales.size + 8 * self.bits.size + self.structure.held_bits

    def to_spec(self) -> Spec:
        return {**super().to_spec(), "kind": "PackedTernary", "per_byte": self.per_byte}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> PackedTernary:
        check_fields(cls, given, ("bits", "scales", "structure", "scale", "per_byte"))
        structure, per_byte = Structure.from_spec(given["structure"]), given["per_byte"]
        if type(per_byte) is not int or per_byte not in (5, 4):
            raise ValueError(f"operator PackedTernary: expected 5 or 4 weights a byte, got {per_byte!r}")
        last = structure.core_shape[-1]
        bits, scales = checked_planes(cls, given, structure, trit_bytes(last, per_byte))
        check_trits(np.asarray(bits), last, per_byte)
        return cls(bits, scales, None, structure, given["scale"], per_byte)
