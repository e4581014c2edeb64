"""Products of signs with a vector in pure JAX, by tables: eight bits select one of the 256 signed sums of their inputs.

One look-up replaces eight additions, and XLA does many of them at once. For more vectors, unpacked rows and a product
of matrices are faster (``portable.py``).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.export import is_symbolic_dim
from jaxtyping import Array, Float, UInt8

_FEW = 3  # vectors
_OUTPUTS = 512  # for each of them: with less, tables cost more than they save
_ROWS = 1024  # whose bits and sums stay near the processor
_GROUPS = 64  # of eight rows whose bits are transposed at a time
_SWAPS = ((4, 0x0F), (2, 0x33), (1, 0x55))  # stages that transpose 8 x 8 bits: distance, and bits that are exchanged


def tables_pay(blocks: int, rows: int, columns: int, batch: Any, transpose: bool) -> bool:
    """Whether products by tables, vector by vector, are faster than by unpacked rows (as measured on CPUs).

    Of a number of vectors that is not known yet (a symbol of ``jax.export``), rows are unpacked.
    """
    few = not is_symbolic_dim(batch) and batch <= _FEW
    return blocks == 1 and few and (columns if transpose else rows) >= _OUTPUTS * batch


def looked_up(
    bits: UInt8[Array, "rows bytes"], x: Float[Array, " k"], columns: int, transpose: bool
) -> Float[Array, " l"]:
    """``S x`` or ``S^T x``."""
    if transpose:
        return _transposed(bits, x)[:columns]
    return _forward(bits, jnp.pad(x, (0, 8 * bits.shape[-1] - columns)))


def _forward(bits: UInt8[Array, "m bytes"], x: Float[Array, " n"]) -> Float[Array, " m"]:
    """Byte after byte of the columns, for many rows at once."""
    m, width = bits.shape
    tall = min(_ROWS, m)
    tables = _tables(x)
    tiles = jnp.pad(bits, ((0, -m % tall), (0, 0))).reshape(-1, tall, width)

    def tile(_: None, packed: Array) -> tuple[None, Array]:
        return None, _sum(jnp.zeros(tall, x.dtype), tables, packed.T)

    return jax.lax.scan(tile, None, tiles)[1].reshape(-1)[:m]


def _transposed(bits: UInt8[Array, "m bytes"], x: Float[Array, " m"]) -> Float[Array, " n"]:
    """Eight rows after eight rows, whose bits are transposed first, for all columns at once."""
    m, width = bits.shape
    deep = min(_GROUPS, -(-m // 8))
    padding = -m % (8 * deep)
    tables = _tables(jnp.pad(x, (0, padding))).reshape(-1, deep, 256)
    tiles = jnp.pad(bits, ((0, padding), (0, 0))).reshape(-1, 8 * deep, width)

    def tile(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        packed, several = inputs
        turned = _transpose_bits([packed[row::8] for row in range(8)])
        part = _sum(jnp.zeros_like(total), several, jnp.stack(turned, axis=1).reshape(deep, 8 * width))
        return total + part, None

    total = jax.lax.scan(tile, jnp.zeros(8 * width, x.dtype), (tiles, tables))[0]
    return total.reshape(8, width).T.reshape(-1)


def _tables(x: Float[Array, " k"]) -> Float[Array, "groups 256"]:
    """Signed sums of every eight inputs: bit k of an entry's number is the sign of input k."""
    groups = x.reshape(-1, 8)
    sums = jnp.zeros((len(groups), 1), x.dtype)
    for k in range(8):
        sums = jnp.concatenate([sums + groups[:, k : k + 1], sums - groups[:, k : k + 1]], axis=1)
    return sums


def _sum(
    total: Float[Array, " l"], tables: Float[Array, "groups 256"], entries: UInt8[Array, "groups l"]
) -> Float[Array, " l"]:
    """``total`` plus what the entries select from their tables, group after group."""

    def step(total: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        table, entry = group
        return total + table.at[entry.astype(jnp.int32)].get(mode="promise_in_bounds"), None

    return jax.lax.scan(step, total, (tables, entries))[0]


def _transpose_bits(rows: list[Array]) -> list[Array]:
    """Bit k of byte r becomes bit r of byte k, for eight arrays of bytes."""
    rows = list(rows)
    for distance, mask in _SWAPS:
        for low in (i for i in range(8) if not i & distance):
            high = low + distance
            swapped = ((rows[low] >> distance) ^ rows[high]) & jnp.uint8(mask)
            rows[low], rows[high] = rows[low] ^ (swapped << distance), rows[high] ^ swapped
    return rows
