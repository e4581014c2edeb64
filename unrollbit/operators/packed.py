"""Products with a matrix of packed signs that never form the matrix in floats."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.operators.base import LinearOperator, Spec, finite_array
from unrollbit.operators.shared import Shared
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

    def _tiles(self) -> tuple[tuple[Any, ...], int]:
        """Per tile of a few rows: bits (planes, rows, bytes), mask, scales (planes, rows|1, columns|1); padding."""
        structure, planes, (m, _) = self.structure, self.planes, self.shape
        if isinstance(structure, Blocks):  # a tile is a block
            rows, columns, padding = structure.block_m, structure.block_n, 0
        else:
            rows, columns = max(1, min(64, m // 8)), structure.shape[1]
            padding = -m % rows
        count = (m + padding) // rows
        bits, exists = self.bits, self.exists
        if not isinstance(structure, Blocks):
            bits = jnp.pad(bits, ((0, 0), (0, padding), (0, 0))).reshape(planes, count, rows, -1)
            if exists is not None:
                exists = jnp.pad(exists, ((0, padding), (0, 0))).reshape(count, rows, -1)
        if self.scale == "row":
            scales = jnp.pad(self.scales, ((0, 0), (0, padding))).reshape(planes, count, rows, 1)
        elif self.scale == "column":  # blocks have lines of their own
            scales = jnp.broadcast_to(self.scales.reshape(planes, -1, 1, columns), (planes, count, 1, columns))
        else:
            scales = jnp.broadcast_to(self.scales[:, None, None, None], (planes, count, 1, 1))
        return (jnp.moveaxis(bits, 1, 0), exists, jnp.moveaxis(scales, 1, 0)), padding

    def _core(self, tile: tuple[Any, ...], dtype: Any) -> Float[Array, "rows columns"]:
        """A few rows of the matrix, all planes together."""
        bits, exists, scales = tile
        core = jnp.zeros((), dtype)
        for plane in range(self.planes):
            core = core + scales[plane].astype(dtype) * self._values(bits[plane], dtype)
        return core if exists is None else core * unpack_mask(exists, self.structure.core_shape[-1], dtype)

    def _values(self, packed: Array, dtype: Any) -> Array:
        """What packed rows stand for."""
        return unpack_signs(packed, self.structure.core_shape[-1], dtype)

    def _apply(self, x: Array) -> Array:
        if isinstance(self.structure, Shared):  # a few taps, which the convolution needs together
            return self.prepare()._apply(x)
        tiles, padding = self._tiles()
        m, n = self.shape
        flat = x.reshape(-1, n)
        blocks = self.structure.blocks
        parts = flat.reshape(len(flat), blocks, n // blocks).swapaxes(0, 1)  # (blocks, batch, block_n)
        blocked = isinstance(self.structure, Blocks)

        def body(_: None, inputs: tuple[Any, Array | None]) -> tuple[None, Array]:
            tile, part = inputs
            return None, (parts[0] if part is None else part) @ self._core(tile, x.dtype).T

        _, out = jax.lax.scan(body, None, (tiles, parts if blocked else None))  # (tiles, batch, rows)
        return jnp.moveaxis(out, 0, 1).reshape(len(flat), m + padding)[:, :m].reshape(*x.shape[:-1], m)

    def _apply_adjoint(self, y: Array) -> Array:
        if isinstance(self.structure, Shared):  # a few taps, which the convolution needs together
            return self.prepare()._apply_adjoint(y)
        tiles, padding = self._tiles()
        m, n = self.shape
        flat = jnp.pad(y.reshape(-1, m), ((0, 0), (0, padding)))
        count = len(tiles[0])
        parts = flat.reshape(len(flat), count, (m + padding) // count).swapaxes(0, 1)  # (tiles, batch, rows)

        def product(inputs: tuple[Any, Array]) -> Array:
            tile, part = inputs
            return part @ self._core(tile, y.dtype)

        if isinstance(self.structure, Blocks):
            _, out = jax.lax.scan(lambda _, inputs: (None, product(inputs)), None, (tiles, parts))
            out = jnp.moveaxis(out, 0, 1).reshape(len(flat), n)
        else:
            start = jnp.zeros((len(flat), n), y.dtype)
            out, _ = jax.lax.scan(lambda total, inputs: (total + product(inputs), None), start, (tiles, parts))
        return out.reshape(*y.shape[:-1], n)

    def dense(self) -> Array:
        return self.prepare().dense()

    def prepare(self) -> Structured:
        """The float matrix, as the core of its structure."""
        signs = self._values(self.bits, self.scales.dtype)
        if self.exists is not None:
            signs = signs * unpack_mask(self.exists, self.structure.core_shape[-1], self.scales.dtype)
        lines = {"row": self.structure.rows, "column": self.structure.columns}.get(self.scale, lambda scale: scale)
        core = sum(lines(self.scales[p]) * signs[p] for p in range(1, self.planes)) + lines(self.scales[0]) * signs[0]
        return Structured(core, self.structure)

    def column_rms(self) -> Array:
        """From the bits, a few rows at a time."""
        if isinstance(self.structure, Shared):
            return jnp.asarray(self.structure.convolution(self.prepare().core).column_rms())
        dtype, (m, n) = self.scales.dtype, self.shape
        tiles, padding = self._tiles()
        exists = (jnp.arange(m + padding) < m).astype(dtype).reshape(len(tiles[0]), -1, 1)

        def add(total: Array, inputs: tuple[Any, Array]) -> tuple[Array, None]:
            tile, rows = inputs
            return total + jnp.sum((self._core(tile, dtype) * rows) ** 2), None

        total, _ = jax.lax.scan(add, jnp.zeros((), dtype), (tiles, exists))
        return jnp.sqrt(total / n)

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
        bits, scales = checked_planes(spec, structure, -(-structure.core_shape[-1] // 8))
        return cls(bits, scales, packed_mask(structure), structure, spec["scale"])


def checked_planes(spec: Spec, structure: Structure, row_bytes: int) -> tuple[Array, Array]:
    """Packed planes and scales of a spec. Raises ``ValueError`` unless they fit the structure and are finite."""
    bits, scale, (m, n) = np.asarray(spec["bits"]), spec["scale"], structure.shape
    if not isinstance(scale, str) or scale not in get_args(Scale):
        raise ValueError(f"operator {spec['kind']}: expected a scale among {get_args(Scale)}, got {scale!r}")
    if bits.dtype != np.uint8 or not bits.size or bits.shape[1:] != (*structure.core_shape[:-1], row_bytes):
        raise ValueError(f"operator {spec['kind']}: expected packed rows of {structure}, got {bits.dtype} {bits.shape}")
    shape = (len(bits), *{"row": (m,), "column": (n,)}.get(scale, ()))
    scales = finite_array("scales", spec["scales"], len(shape))
    if scales.shape != shape:
        raise ValueError(f"operator {spec['kind']}: expected scales of shape {shape}, got {scales.shape}")
    return jnp.asarray(bits), scales


def padded_bits(structure: Structure) -> int:
    """Bits of one sign plane in memory: rows of the core, padded to bytes."""
    *rows, last = structure.core_shape
    return math.prod(rows) * 8 * -(-last // 8)


def mask_rows_bits(structure: Structure) -> int:
    """Bits of the packed rows of an irregular mask in memory; 0 where every core entry exists."""
    return 0 if structure.core_mask is None else padded_bits(structure)


def unpack_mask(exists: UInt8[Array, "*rows bytes"], n: int, dtype: Any) -> Float[Array, "*rows n"]:
    """1 for entries that exist, else 0, of packed rows of a mask."""
    return (1 - unpack_signs(exists, n, dtype)) / 2


def packed_mask(structure: Structure) -> Array | None:
    """Packed rows of a structure's irregular mask (bit 1: the entry exists), or None where every core entry does."""
    exists = structure.core_mask
    return None if exists is None else jnp.asarray(pack_signs(-1.0 * exists))
