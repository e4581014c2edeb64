"""The product with a sign plane on NVIDIA GPUs, in Pallas (Triton): bytes are read, bits become +-1 in registers."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Float, UInt8

_ROWS, _BYTES = 64, 32  # tile of the matrix: 64 rows, 256 columns
_BATCH = 16  # the smallest side of a product on tensor cores
_TERMS = 3  # bfloat16 numbers that add up to a float32 one: 3 x 8 bits of mantissa


def signs_product_pallas(
    bits: UInt8[Array, "blocks rows bytes"],
    x: Float[Array, "batch k"],
    *,
    columns: int,
    transpose: bool,
    interpret: bool = False,
) -> Float[Array, "batch l"]:
    """``S x`` or ``S^T x`` of block-diagonal signs.

    Bit k of all bytes together is a +-1 matrix, exact in bfloat16. Its product with each of three terms of x runs
    on tensor cores and is summed in float32.

    Bits are read once for every ``_BATCH`` vectors. ``interpret`` runs the same program without a GPU, for tests.
    """
    blocks, rows, count = bits.shape
    batch = len(x)
    padded = jnp.pad(bits, ((0, 0), (0, -rows % _ROWS), (0, -count % _BYTES)))
    _, m, width = padded.shape
    lanes = batch + -batch % _BATCH
    vectors = jnp.pad(x, ((0, lanes - batch), (0, 0))).T.reshape(blocks, -1, lanes)  # (blocks, in, batch)
    call: Any = functools.partial(
        pl.pallas_call,
        compiler_params=plt.CompilerParams(num_warps=4, num_stages=2),
        interpret=interpret,
    )
    if transpose:
        terms = _terms(jnp.pad(vectors, ((0, 0), (0, m - rows), (0, 0))))
        out = call(
            _adjoint,
            out_shape=jax.ShapeDtypeStruct((blocks, 8, width, lanes), jnp.float32),
            grid=(blocks, width // _BYTES, lanes // _BATCH),
            in_specs=[
                pl.BlockSpec((1, m, _BYTES), lambda block, column, lane: (block, 0, column)),
                pl.BlockSpec((_TERMS, 1, m, _BATCH), lambda block, column, lane: (0, block, 0, lane)),
            ],
            out_specs=pl.BlockSpec((1, 8, _BYTES, _BATCH), lambda block, column, lane: (block, 0, column, lane)),
        )(padded, terms)
        out = out.swapaxes(1, 2).reshape(blocks, 8 * width, lanes)[:, :columns]
    else:
        spread = jnp.pad(vectors, ((0, 0), (0, 8 * width - columns), (0, 0)))
        terms = _terms(spread.reshape(blocks, width, 8, lanes).swapaxes(1, 2))  # inputs of the same bit together
        out = call(
            _forward,
            out_shape=jax.ShapeDtypeStruct((blocks, m, lanes), jnp.float32),
            grid=(blocks, m // _ROWS, lanes // _BATCH),
            in_specs=[
                pl.BlockSpec((1, _ROWS, width), lambda block, row, lane: (block, row, 0)),
                pl.BlockSpec((_TERMS, 1, 8, width, _BATCH), lambda block, row, lane: (0, block, 0, 0, lane)),
            ],
            out_specs=pl.BlockSpec((1, _ROWS, _BATCH), lambda block, row, lane: (block, row, lane)),
        )(padded, terms)[:, :rows]
    return out.reshape(-1, lanes).T[:batch]


def _terms(x: Array) -> Array:
    """Three bfloat16 numbers whose sum is x, on a leading axis; ``reduce_precision`` keeps XLA from simplifying."""
    terms = []
    for _ in range(_TERMS):
        term = lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)
        terms.append(term.astype(jnp.bfloat16))
        x = x - term
    return jnp.stack(terms)


def _signs(packed: Array, bit: int) -> Array:
    """+-1 of one bit of each byte."""
    return (1 - 2 * ((packed.astype(jnp.int32) >> bit) & 1)).astype(jnp.bfloat16)


def _forward(bits: Any, terms: Any, out: Any) -> None:
    def body(step: Array, total: Array) -> Array:
        at = pl.ds(step * _BYTES, _BYTES)
        packed = bits[0, :, at]
        for bit in range(8):
            signs = _signs(packed, bit)
            for term in range(_TERMS):
                total += plt.dot(signs, terms[term, 0, bit, at, :])
        return total

    start = jnp.zeros((_ROWS, _BATCH), jnp.float32)
    out[0] = lax.fori_loop(0, bits.shape[-1] // _BYTES, body, start)


def _adjoint(bits: Any, terms: Any, out: Any) -> None:
    def body(step: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
        at = pl.ds(step * _ROWS, _ROWS)
        packed = bits[0, at, :]
        inputs = [terms[term, 0, at, :] for term in range(_TERMS)]
        found = []
        for bit, total in enumerate(totals):
            signs = _signs(packed, bit).T
            for values in inputs:
                total += plt.dot(signs, values)
            found.append(total)
        return tuple(found)

    start = (jnp.zeros((_BYTES, _BATCH), jnp.float32),) * 8
    for bit, total in enumerate(lax.fori_loop(0, bits.shape[1] // _ROWS, body, start)):
        out[0, bit] = total
