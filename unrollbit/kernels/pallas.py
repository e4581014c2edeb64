"""The product with a sign plane on NVIDIA GPUs, in Pallas (Triton): bytes are read, bits become +-1 in registers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, BFloat16, Float, UInt8

_TERMS = 3  # bfloat16 numbers that add up to a float32 one: 3 x 8 bits of mantissa


class _Tile(NamedTuple):
    """What a program multiplies at a time, and about how many programs there are: those beyond one for each tile of the
    output split its sums. The fastest that were found on an H100 (`examples/benchmarks/gpu.py` times them)."""

    lanes: int  # a lane is a term of a vector
    rows: int
    bytes: int
    stages: int
    programs: int


def _tile(batch: int, transpose: bool) -> _Tile:
    lanes = _TERMS * batch
    if transpose:
        return _Tile(16, 128, 32, 2, 512) if lanes <= 32 else _Tile(64, 128, 32, 2, 256)
    if lanes <= 16:
        return _Tile(16, 64, 64, 2, 512)
    return _Tile(32, 128, 32, 1, 512) if lanes <= 32 else _Tile(64, 128, 32, 1, 256)


def signs_product_pallas(
    bits: UInt8[Array, "blocks rows bytes"],
    x: Float[Array, "batch k"],
    *,
    columns: int,
    transpose: bool,
    interpret: bool = False,
) -> Float[Array, "batch l"]:
    """``S x`` or ``S^T x`` of block-diagonal signs.

    Bit k of all bytes together is a +-1 matrix, exact in bfloat16. Each vector is the sum of three terms in bfloat16;
    all terms of all vectors lie side by side and are multiplied on tensor cores, with sums in float32. Sums that are
    split among programs are added in a fixed order: results are the same in every run.

    Shapes that are no multiples of a tile (64 x 512 for one vector, 128 x 256 otherwise) cost a padded copy of bits.
    ``interpret`` runs the same program without a GPU, for tests.
    """
    (blocks, rows, count), batch = bits.shape, len(x)
    tile = _tile(batch, transpose)
    padded = jnp.pad(bits, ((0, 0), (0, -rows % tile.rows), (0, -count % tile.bytes)))
    _, m, width = padded.shape
    vectors = x.reshape(batch, blocks, -1)
    vectors = jnp.pad(vectors, ((0, 0), (0, 0), (0, (m if transpose else 8 * width) - vectors.shape[-1])))
    terms = _terms(vectors)
    unused = ((0, 0), (0, -_TERMS * batch % tile.lanes), (0, 0))
    if transpose:
        lanes = terms.transpose(2, 0, 1, 3).reshape(blocks, -1, m)
        out = _transposed(padded, jnp.pad(lanes, unused), tile, interpret).sum(0)  # (blocks, 8, lanes, width)
        out = _value(out[:, :, : _TERMS * batch].reshape(blocks, 8, _TERMS, batch, width).swapaxes(0, 2))
        return out.transpose(2, 1, 3, 0).reshape(batch, blocks, -1)[:, :, :columns].reshape(batch, -1)
    lanes = terms.reshape(_TERMS, batch, blocks, width, 8).transpose(2, 4, 0, 1, 3)  # inputs of the same bit together
    lanes = jnp.pad(lanes.reshape(blocks, 8, -1, width), ((0, 0), *unused))
    out = _forward(padded, lanes, tile, interpret).sum(0)  # (blocks, m, lanes)
    out = _value(jnp.moveaxis(out[:, :rows, : _TERMS * batch].reshape(blocks, rows, _TERMS, batch), 2, 0))
    return out.transpose(2, 0, 1).reshape(batch, -1)


def _terms(x: Float[Array, "..."]) -> BFloat16[Array, "terms ..."]:
    """Numbers whose sum is x; ``reduce_precision`` keeps XLA from simplifying."""
    terms = []
    for _ in range(_TERMS):
        term = lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
        terms.append(term.astype(jnp.bfloat16))
        x = x - term
    return jnp.stack(terms)


def _value(terms: Float[Array, "terms ..."]) -> Float[Array, "..."]:
    """Their sum, small ones first."""
    return terms[2] + terms[1] + terms[0]


def _parts(programs: int, tiles: int, steps: int) -> int:
    """How many programs share the sums of a tile of the output: a power of two that divides their steps."""
    parts = 1
    while parts * tiles < programs and steps % (2 * parts) == 0:
        parts *= 2
    return parts


def _forward(
    bits: UInt8[Array, "blocks m width"], lanes: BFloat16[Array, "blocks 8 lanes width"], tile: _Tile, interpret: bool
) -> Float[Array, "parts blocks m lanes"]:
    blocks, m, width = bits.shape
    groups = lanes.shape[2] // tile.lanes
    together = next(count for count in (3, 2, 1) if groups % count == 0)  # groups that share the signs of a program
    steps, tall = width // tile.bytes, together * tile.lanes
    grid = (blocks, m // tile.rows, groups // together)
    parts = _parts(tile.programs, math.prod(grid), steps)
    read = _spread_plainly if interpret else _spread

    def program(bits: Any, lanes: Any, out: Any) -> None:
        first = pl.program_id(3) * (width // parts)

        def body(step: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
            at = pl.ds(first + step * tile.bytes, tile.bytes)
            packed = bits[0, :, at]
            for bit in range(8):
                signs = read(packed, bit)
                inputs = [lanes[0, bit, pl.ds(g * tile.lanes, tile.lanes), at] for g in range(together)]
                totals = tuple(total + plt.dot(signs, values.T) for total, values in zip(totals, inputs, strict=True))
            return totals

        start = (jnp.zeros((tile.rows, tile.lanes), jnp.float32),) * together
        for g, total in enumerate(lax.fori_loop(0, steps // parts, body, start)):
            out[0, 0, :, pl.ds(g * tile.lanes, tile.lanes)] = total

    return _call(
        program,
        tile,
        interpret,
        out_shape=jax.ShapeDtypeStruct((parts, blocks, m, lanes.shape[2]), jnp.float32),
        grid=(*grid, parts),
        in_specs=[
            pl.BlockSpec((1, tile.rows, width), lambda block, row, group, part: (block, row, 0)),
            pl.BlockSpec((1, 8, tall, width), lambda block, row, group, part: (block, 0, group, 0)),
        ],
        out_specs=pl.BlockSpec((1, 1, tile.rows, tall), lambda block, row, group, part: (part, block, row, group)),
    )(bits, lanes)


def _transposed(
    bits: UInt8[Array, "blocks m width"], lanes: BFloat16[Array, "blocks lanes m"], tile: _Tile, interpret: bool
) -> Float[Array, "parts blocks 8 lanes width"]:
    blocks, m, width = bits.shape
    steps = m // tile.rows
    grid = (blocks, width // tile.bytes, lanes.shape[1] // tile.lanes)
    parts = _parts(tile.programs, math.prod(grid), steps)
    read = _spread_plainly if interpret else _spread

    def program(bits: Any, lanes: Any, out: Any) -> None:
        first = pl.program_id(3) * (m // parts)

        def body(step: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
            at = pl.ds(first + step * tile.rows, tile.rows)
            packed, values = bits[0, at, :], lanes[0, :, at]
            return tuple(total + plt.dot(values, read(packed, bit)) for bit, total in enumerate(totals))

        start = (jnp.zeros((tile.lanes, tile.bytes), jnp.float32),) * 8
        for bit, total in enumerate(lax.fori_loop(0, steps // parts, body, start)):
            out[0, 0, bit] = total

    shape = (1, 1, 8, tile.lanes, tile.bytes)
    return _call(
        program,
        tile,
        interpret,
        out_shape=jax.ShapeDtypeStruct((parts, blocks, 8, lanes.shape[1], width), jnp.float32),
        grid=(*grid, parts),
        in_specs=[
            pl.BlockSpec((1, m, tile.bytes), lambda block, column, group, part: (block, 0, column)),
            pl.BlockSpec((1, tile.lanes, m), lambda block, column, group, part: (block, group, 0)),
        ],
        out_specs=pl.BlockSpec(shape, lambda block, column, group, part: (part, block, 0, group, column)),
    )(bits, lanes)


def _call(program: Callable[..., None], tile: _Tile, interpret: bool, **options: Any) -> Any:
    settings: Any = plt.CompilerParams(num_warps=4, num_stages=tile.stages)
    return pl.pallas_call(program, compiler_params=settings, interpret=interpret, **options)


def _spread(packed: UInt8[Array, "rows bytes"], bit: int) -> BFloat16[Array, "rows bytes"]:
    """+-1 of one bit of each byte: four at a time, in PTX. The sign of a bfloat16 is the high bit of its high byte."""
    assembly = f"""{{
        .reg .b32 high, low;
        shl.b32 high, $2, {7 - bit};
        and.b32 high, high, 0x80808080;
        or.b32 high, high, 0x3F3F3F3F;
        mov.b32 low, 0x80808080;
        prmt.b32 $0, high, low, 0x1404;
        prmt.b32 $1, high, low, 0x3424;
    }}"""
    shape = jax.ShapeDtypeStruct(packed.shape, jnp.bfloat16)
    return plt.elementwise_inline_asm(
        assembly, args=[packed], constraints="=r,=r,r", pack=4, result_shape_dtypes=[shape]
    )[0]


def _spread_plainly(packed: UInt8[Array, "rows bytes"], bit: int) -> BFloat16[Array, "rows bytes"]:
    """The same, where nothing runs PTX."""
    return (1 - 2 * ((packed.astype(jnp.int32) >> bit) & 1)).astype(jnp.bfloat16)
