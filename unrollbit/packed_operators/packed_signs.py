"""Products with a matrix of packed signs that never form the matrix in floats."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.arrays import binary_unit
from unrollbit.kernels import packed_matmul
from unrollbit.kernels.portable import Layout, Tiles, cut, rows_of
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array
from unrollbit.operators.structured import Structured
from unrollbit.signbits import pack_signs, sign_at, unpack_signs
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.values import pytree

_SPARSE = 4  # masks with less than a quarter of the entries
Scale = Literal["none", "global", "layer", "row", "column"]


@pytree
@dataclass(frozen=True)
class PackedSigns(LinearOperator):
    """``W = sum_p c_p * (M o S_p)`` from packed bits (``unrollbit.kernels``).

    ``bits`` (planes, *core_shape[:-1], ceil(core_shape[-1] / 8)); ``scales`` (planes,), (planes, m) for ``row`` or
    (planes, n) for ``column``; ``exists`` are the packed rows of an irregular mask (bit 1: the entry exists), else
    None.
    """

    bits: UInt8[Array, "planes *rows bytes"]
    scales: Float[Array, "..."]
    exists: UInt8[Array, "*rows bytes"] | None
    structure: Structure = field(metadata={"static": True})
    scale: Scale = field(metadata={"static": True})

    def description(self) -> str:
        return f"held in {self.planes} sign plane{'s' * (self.planes > 1)}"

    @property
    def shape(self) -> tuple[int, int]:
        return self.structure.shape

    @property
    def planes(self) -> int:
        return self.bits.shape[0]

    def _blocked(self) -> tuple[Layout, Array, Array, Array | None]:
        """Layout, bits, scales and mask as products take them: with an axis of blocks."""
        m, n = self.shape
        blocks = self.structure.blocks
        bits = self.bits.reshape(self.planes, blocks, m // blocks, -1)
        exists = None if self.exists is None else self.exists.reshape(blocks, m // blocks, -1)
        scales = {"row": self.scales[..., None], "column": self.scales[..., None, :]}.get(self.scale, self.scales)
        return Layout(blocks, m // blocks, n // blocks), bits, scales, exists

    def _product(self, x: Array, transpose: bool) -> Array:
        layout, bits, scales, exists = self._blocked()
        # Two products of signs make a masked one; where few entries exist, the others would cost digits. The portable
        # path unpacks masked rows instead.
        sparse = _SPARSE * self.structure.size < math.prod(self.shape) // layout.blocks
        options = {"transpose": transpose, "path": "portable" if sparse else None}
        return packed_matmul(bits, x, layout.columns, scales=scales, exists=exists, **options)

    def _entrywise(self, x: Array, transpose: bool) -> Array:
        """Of a structure whose products read entries by number: each is unpacked when it is needed."""

        def plane(p: int, x: Array) -> Array:
            return self.structure.product_of(lambda at: sign_at(self.bits[p], at, x.dtype), x, transpose)

        if self.scale not in ("row", "column"):
            return self.structure.product_of(lambda at: self._combined(at, x.dtype), x, transpose)
        if (self.scale == "row") == transpose:  # scales of what comes in
            return functools.reduce(jnp.add, [plane(p, self.scales[p] * x) for p in range(self.planes)])
        return functools.reduce(jnp.add, [self.scales[p] * plane(p, x) for p in range(self.planes)])

    def _combined(self, at: Array, dtype: Any) -> Array:
        """All planes of the entries of these numbers, by the scales of whole planes."""
        terms = [self.scales[p] * sign_at(self.bits[p], at, dtype) for p in range(self.planes)]
        return functools.reduce(jnp.add, terms)

    def _apply(self, x: Array) -> Array:
        if self.structure.entrywise:
            return self._entrywise(x, transpose=False)
        if self.structure.shared:  # a few taps, which the convolution needs together
            return self.prepare()._apply(x)
        return self._product(x, transpose=False)

    def _apply_adjoint(self, y: Array) -> Array:
        if self.structure.entrywise:
            return self._entrywise(y, transpose=True)
        if self.structure.shared:
            return self.prepare()._apply_adjoint(y)
        return self._product(y, transpose=True)

    def dense(self) -> Array:
        return self.prepare().dense()

    def prepare(self) -> Structured:
        """The float matrix, as the core of its structure."""
        signs = unpack_signs(self.bits, self.structure.core_shape[-1], self.scales.dtype)
        if self.exists is not None:
            signs = signs * unpack_mask(self.exists, self.structure.core_shape[-1], self.scales.dtype)
        planes = [spread(self.scales[p], self.scale, self.structure) * signs[p] for p in range(self.planes)]
        return Structured(sum(planes[1:]) + planes[0], self.structure)

    @jax.jit
    def column_norms(self) -> Array:
        """From the bits, a few rows at a time."""
        if self.structure.shared or self.structure.entrywise:
            return self.prepare().column_norms()
        (m, n), dtype = self.shape, self.scales.dtype
        layout, bits, scales, exists = self._blocked()
        unit = jnp.squeeze(binary_unit(self.scales, tuple(range(self.scales.ndim))))
        tiles, padding = cut(layout, bits, scales / unit, exists)
        real = (jnp.arange(m + padding) < m).astype(dtype).reshape(len(tiles.bits), -1, 1)

        def squares(inputs: tuple[Tiles, Array]) -> Array:
            tile, kept = inputs
            return jnp.sum((rows_of(tile, layout.columns, dtype) * kept) ** 2, axis=0)

        parts = jax.lax.map(squares, (tiles, real))  # of a few rows, or of a block
        return unit * jnp.sqrt(parts.reshape(layout.blocks, -1, layout.columns).sum(1).reshape(n))

    def core(self, structure: Structure) -> Array:
        return self.prepare().core(structure)

    def mask(self) -> Structure:
        return self.structure

    def resident_bits(self) -> int:
        """Padded rows of signs, scales at 32 bits, and the packed rows of an irregular mask if they are held."""
        beside = self.structure.held_bits if self.exists is None else mask_rows_bits(self.structure)
        return 32 * self.scales.size + self.planes * padded_bits(self.structure) + beside

    def to_spec(self) -> Spec:
        spec = {"kind": "PackedSigns", "bits": np.asarray(self.bits), "scales": np.asarray(self.scales)}
        return {**spec, "structure": self.structure.to_spec(), "scale": self.scale}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> PackedSigns:
        check_fields(cls, given, ("bits", "scales", "structure", "scale"))
        structure = Structure.from_spec(given["structure"])
        bits, scales = checked_planes(cls, given, structure, -(-structure.core_shape[-1] // 8))
        return cls(bits, scales, packed_mask(structure), structure, given["scale"])


def checked_planes(kind: type[Any], spec: Spec, structure: Structure, row_bytes: int) -> tuple[Array, Array]:
    """Packed planes and scales of a spec. Raises ``ValueError`` unless they fit the structure and are finite."""
    bits, scale, (m, n) = np.asarray(spec["bits"]), spec["scale"], structure.shape
    if not isinstance(scale, str) or scale not in get_args(Scale):
        raise ValueError(f"operator {kind.__name__}: expected a scale among {get_args(Scale)}, got {scale!r}")
    if bits.dtype != np.uint8 or not bits.size or bits.shape[1:] != (*structure.core_shape[:-1], row_bytes):
        raise ValueError(
            f"operator {kind.__name__}: expected packed rows of {structure}, got {bits.dtype} {bits.shape}"
        )
    shape = (len(bits), *{"row": (m,), "column": (n,)}.get(scale, ()))
    scales = finite_array("scales", spec["scales"], len(shape))
    if scales.shape != shape:
        raise ValueError(f"operator {kind.__name__}: expected scales of shape {shape}, got {scales.shape}")
    return jnp.asarray(bits), scales


def spread(scales: Float[Array, "..."], scale: Scale, structure: Structure) -> Array:
    """Scales of sign planes (with any leading axes), shaped to multiply cores."""
    lines = {"row": structure.rows, "column": structure.columns}.get(scale)
    return scales.reshape(*scales.shape, *(1,) * len(structure.core_shape)) if lines is None else lines(scales)


def padded_bits(structure: Structure) -> int:
    """Bits of one sign plane in memory: rows of the core, padded to bytes."""
    *rows, last = structure.core_shape
    return math.prod(rows) * 8 * -(-last // 8)


def mask_rows_bits(structure: Structure) -> int:
    """Bits of the packed rows of an irregular mask in memory, or of its indices; 0 where every core entry exists."""
    return structure.held_bits if structure.core_mask is None else padded_bits(structure)


def unpack_mask(exists: UInt8[Array, "*rows bytes"], n: int, dtype: Any) -> Float[Array, "*rows n"]:
    """1 for entries that exist, else 0, of packed rows of a mask."""
    return (1 - unpack_signs(exists, n, dtype)) / 2


def packed_mask(structure: Structure) -> Array | None:
    """Packed rows of a structure's irregular mask (bit 1: the entry exists), or None where every core entry does."""
    exists = structure.core_mask
    return None if exists is None else jnp.asarray(pack_signs(-1.0 * exists))
