"""Products with packed matrices in pure JAX: a few rows at a time are unpacked inside a scan, on every device."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from unrollbit.signbits import unpack_signs

_ROWS = 64  # of a matrix that exist in floats at a time


class Layout(NamedTuple):
    """``blocks`` matrices of (rows, columns) on the diagonal of one matrix."""

    blocks: int
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)`` of the large matrix."""
        return self.blocks * self.rows, self.blocks * self.columns


class Tiles(NamedTuple):
    """A matrix cut into rows: a block each if there are several, or a few rows of a single one."""

    bits: UInt8[Array, "tiles planes rows bytes"]
    exists: UInt8[Array, "tiles rows bytes"] | None
    scales: Float[Array, "tiles planes _ _"]


def cut(
    layout: Layout, bits: UInt8[Array, "planes blocks rows bytes"], scales: Array, exists: Array | None
) -> tuple[Tiles, int]:
    """Tiles of a matrix, and how many rows of padding the last one has.

    ``scales``: (planes,), (planes, m) by row or (planes, n) by column; ``exists``: (blocks, rows, bytes) or None.
    """
    planes, m = bits.shape[0], layout.shape[0]
    rows = layout.rows if layout.blocks > 1 else max(1, min(_ROWS, m // 8))
    padding = -m % rows
    count = (m + padding) // rows
    bits = jnp.pad(bits.reshape(planes, m, -1), ((0, 0), (0, padding), (0, 0))).reshape(planes, count, rows, -1)
    if exists is not None:
        exists = jnp.pad(exists.reshape(m, -1), ((0, padding), (0, 0))).reshape(count, rows, -1)
    if scales.ndim == 1:
        scales = jnp.broadcast_to(scales[:, None, None, None], (planes, count, 1, 1))
    elif scales.shape[1:] == (m, 1):
        scales = jnp.pad(scales, ((0, 0), (0, padding), (0, 0))).reshape(planes, count, rows, 1)
    else:  # (planes, 1, n): blocks have columns of their own
        own = scales.reshape(planes, layout.blocks, 1, layout.columns)
        scales = jnp.broadcast_to(own, (planes, count, 1, layout.columns))
    return Tiles(jnp.moveaxis(bits, 1, 0), exists, jnp.moveaxis(scales, 1, 0)), padding


def rows_of(tile: Tiles, columns: int, dtype: Any) -> Float[Array, "rows columns"]:
    """The rows of one tile, all planes together."""
    rows = jnp.zeros((), dtype)
    for plane in range(tile.bits.shape[0]):
        rows = rows + tile.scales[plane].astype(dtype) * unpack_signs(tile.bits[plane], columns, dtype)
    if tile.exists is None:
        return rows
    return rows * (1 - unpack_signs(tile.exists, columns, dtype)) / 2


# As exact as on the other paths: by default, JAX multiplies float32 on a GPU with 10 bits of mantissa.
_times = functools.partial(jnp.matmul, precision="highest")


def product(
    layout: Layout,
    bits: UInt8[Array, "planes blocks rows bytes"],
    scales: Array,
    exists: Array | None,
    x: Float[Array, "batch k"],
    transpose: bool,
) -> Float[Array, "batch l"]:
    """``W x`` or ``W^T x`` with ``W = sum_p c_p (M o S_p)``; see ``cut`` for the arguments."""
    (m, n), columns = layout.shape, layout.columns
    tiles, padding = cut(layout, bits, scales, exists)
    count, batch, several = len(tiles.bits), x.shape[0], layout.blocks > 1

    if not transpose:
        parts = x.reshape(batch, layout.blocks, columns).swapaxes(0, 1)

        def forward(_: None, inputs: tuple[Tiles, Array | None]) -> tuple[None, Array]:
            tile, part = inputs
            return None, _times(rows_of(tile, columns, x.dtype), (parts[0] if part is None else part).T).T

        _, out = jax.lax.scan(forward, None, (tiles, parts if several else None))  # (tiles, batch, rows)
        return jnp.moveaxis(out, 0, 1).reshape(batch, m + padding)[:, :m]

    parts = (
        jnp.pad(x, ((0, 0), (0, padding))).reshape(batch, count, (m + padding) // count).swapaxes(0, 1)
    )  # (tiles, batch, rows)

    def adjoint(inputs: tuple[Tiles, Array]) -> Array:
        tile, part = inputs
        return _times(part, rows_of(tile, columns, x.dtype))

    if several:
        _, out = jax.lax.scan(lambda _, inputs: (None, adjoint(inputs)), None, (tiles, parts))
        return jnp.moveaxis(out, 0, 1).reshape(batch, n)
    start = jnp.zeros((batch, n), x.dtype)
    return jax.lax.scan(lambda total, inputs: (total + adjoint(inputs), None), start, (tiles, parts))[0]
