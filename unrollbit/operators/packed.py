"""Products with a matrix of packed signs that never form the matrix in floats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.operators.base import LinearOperator, Spec
from unrollbit.operators.structure import Blocks, Structure
from unrollbit.operators.structured import Structured
from unrollbit.signbits import pack_signs, unpack_signs

Scale = Literal["none", "global", "layer", "row", "column"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PackedSigns(LinearOperator):
    """``W = sum_p c_p * (M o S_p)`` from packed bits, unpacked a few rows at a time inside a scan.

    ``bits`` (planes, *core_shape[:-1], ceil(core_shape[-1] / 8)); ``scales`` (planes,), (planes, m) for ``row`` or
    (planes, n) for ``column``; ``exists`` are the packed rows of an irregular mask (bit 1: the entry exists), else
    None.
    """

    bits: UInt8[Array, "planes *rows bytes"]
    scales: Float[Array, "..."]
    exists: UInt8[Array, "*rows bytes"] | None
    structure: Structure = field(metadata={"static": True})
    scale: Scale = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        return self.structure.shape

    @property
    def planes(self) -> int:
        return self.bits.shape[0]

    def _tiles(self) -> tuple[Array, Array | None, int, int, int]:
        """Bits as (tiles, planes, rows, bytes), the mask as (tiles, rows, bytes), and rows, columns, padded rows."""
        if isinstance(self.structure, Blocks):
            return jnp.moveaxis(self.bits, 1, 0), None, self.structure.block_m, self.structure.block_n, 0
        m, n = self.structure.shape
        rows = max(1, min(64, m // 8))
        padding = -m % rows
        bits = jnp.pad(self.bits, ((0, 0), (0, padding), (0, 0)))
        bits = jnp.moveaxis(bits.reshape(self.planes, -1, rows, bits.shape[-1]), 1, 0)
        exists = self.exists
        if exists is not None:
            exists = jnp.pad(exists, ((0, padding), (0, 0))).reshape(-1, rows, exists.shape[-1])
        return bits, exists, rows, n, padding

    def _tile(self, bits: Array, exists: Array | None, n: int, dtype: jnp.dtype) -> list[Array]:
        signs = [unpack_signs(bits[p], n, dtype) for p in range(self.planes)]
        if exists is None:
            return signs
        there = (1 - unpack_signs(exists, n, dtype)) / 2
        return [plane * there for plane in signs]

    def _lines(self, which: Scale, plane: int) -> Array | float:
        return self.scales[plane] if self.scale == which or (which == "row" and self.scale != "column") else 1.0

    def _apply(self, x: Array) -> Array:
        bits, exists, _, columns, _ = self._tiles()
        m, n = self.shape
        flat = x.reshape(-1, n)
        inputs = [flat * self._lines("column", p) for p in range(self.planes)]
        blocked = isinstance(self.structure, Blocks)

        def body(_: None, tile: tuple[Array, Array | None, Array | None]) -> tuple[None, Array]:
            signs = self._tile(tile[0], tile[1], columns, x.dtype)
            return None, jnp.stack(
                [(inputs[p] if tile[2] is None else tile[2][p]) @ signs[p].T for p in range(len(signs))]
            )

        parts = None
        if blocked:
            parts = jnp.stack([v.reshape(-1, self.structure.blocks, columns).swapaxes(0, 1) for v in inputs], axis=1)
        _, out = jax.lax.scan(body, None, (bits, exists, parts))  # (tiles, planes, batch, rows)
        out = jnp.moveaxis(out, 0, 2).reshape(self.planes, flat.shape[0], -1)[..., :m]
        return sum(out[p] * self._lines("row", p) for p in range(self.planes)).reshape(*x.shape[:-1], m)  # pyright: ignore

    def _apply_adjoint(self, y: Array) -> Array:
        bits, exists, rows, columns, padding = self._tiles()
        m, n = self.shape
        flat = y.reshape(-1, m)
        inputs = jnp.stack([flat * self._lines("row", p) for p in range(self.planes)])
        inputs = jnp.pad(inputs, ((0, 0), (0, 0), (0, padding)))
        inputs = jnp.moveaxis(
            inputs.reshape(self.planes, flat.shape[0], -1, rows), 2, 0
        )  # (tiles, planes, batch, rows)

        def products(tile: tuple[Array, Array | None, Array]) -> Array:
            signs = self._tile(tile[0], tile[1], columns, y.dtype)
            return jnp.stack([tile[2][p] @ signs[p] for p in range(self.planes)])

        if isinstance(self.structure, Blocks):
            _, out = jax.lax.scan(lambda _, tile: (None, products(tile)), None, (bits, exists, inputs))
            out = jnp.moveaxis(out, 0, 2).reshape(self.planes, flat.shape[0], n)
        else:
            start = jnp.zeros((self.planes, flat.shape[0], n), y.dtype)
            out, _ = jax.lax.scan(lambda total, tile: (total + products(tile), None), start, (bits, exists, inputs))
        return sum(out[p] * self._lines("column", p) for p in range(self.planes)).reshape(*y.shape[:-1], n)  # pyright: ignore

    def dense(self) -> Array:
        return self.prepare().dense()

    def prepare(self) -> Structured:
        """The float matrix, as the core of its structure."""
        rows = self.structure.core_shape[-1]
        signs = unpack_signs(self.bits, rows, self.scales.dtype)
        if self.exists is not None:
            signs = signs * (1 - unpack_signs(self.exists, rows, self.scales.dtype)) / 2
        lines = {"row": self.structure.rows, "column": self.structure.columns}.get(self.scale, lambda scale: scale)
        core = sum(lines(self.scales[p]) * signs[p] for p in range(1, self.planes)) + lines(self.scales[0]) * signs[0]
        return Structured(core, self.structure)

    def column_rms(self) -> Array:
        """From the bits, a few rows at a time."""
        bits, exists, rows, columns, padding = self._tiles()
        tiles, planes = bits.shape[0], self.planes
        across = jnp.ones((tiles, planes, 1, 1), self.scales.dtype)
        if self.scale == "column":
            lines = self.scales.reshape(planes, -1, columns)  # one line per block; dense physics has one for all tiles
            across = jnp.broadcast_to(jnp.moveaxis(lines, 1, 0)[:, :, None], (tiles, planes, 1, columns))
        down = jnp.ones((planes, self.shape[0]), self.scales.dtype)
        if self.scale != "column":
            down = down * (self.scales if self.scale == "row" else self.scales[:, None])
        down = jnp.moveaxis(jnp.pad(down, ((0, 0), (0, padding))).reshape(planes, tiles, rows, 1), 1, 0)

        def energy(total: Array, tile: tuple[Array, Array | None, Array, Array]) -> tuple[Array, None]:
            signs = jnp.stack(self._tile(tile[0], tile[1], columns, self.scales.dtype))
            return total + jnp.sum(jnp.sum(signs * tile[2] * tile[3], axis=0) ** 2), None

        total, _ = jax.lax.scan(energy, jnp.zeros((), self.scales.dtype), (bits, exists, across, down))
        return jnp.sqrt(total / self.shape[1])

    def mask(self) -> Structure:
        return self.structure

    def resident_bits(self) -> int:
        """Padded rows of signs, scales at 32 bits, and the packed rows of an irregular mask."""
        return 32 * self.scales.size + self.planes * padded_bits(self.structure) + mask_rows_bits(self.structure)

    def to_spec(self) -> Spec:
        spec = {"kind": "PackedSigns", "bits": np.asarray(self.bits), "scales": np.asarray(self.scales)}
        return {**spec, "structure": self.structure.to_spec(), "scale": self.scale}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        structure = Structure.from_spec(spec["structure"])
        scales = jnp.asarray(spec["scales"])
        return cls(jnp.asarray(spec["bits"]), scales, packed_mask(structure), structure, spec["scale"])


def padded_bits(structure: Structure) -> int:
    """Bits of one sign plane in memory: rows of the core, padded to bytes."""
    *rows, last = structure.core_shape
    return math.prod(rows) * 8 * -(-last // 8)


def mask_rows_bits(structure: Structure) -> int:
    """Bits of the packed rows of an irregular mask in memory; 0 where every core entry exists."""
    return 0 if structure.core_mask is None else padded_bits(structure)


def packed_mask(structure: Structure) -> Array | None:
    """Packed rows of a structure's irregular mask (bit 1: the entry exists), or None where every core entry does."""
    exists = structure.core_mask
    return None if exists is None else jnp.asarray(pack_signs(-1.0 * exists))
