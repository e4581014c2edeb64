"""One function for products with bit-packed one-bit matrices."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from unrollbit.arrays import as_real, widened
from unrollbit.kernels.backends import BACKENDS, kernels
from unrollbit.kernels.portable import Layout, product
from unrollbit.kernels.signs_product import signs_product


def packed_matmul(
    bits: ArrayLike,
    x: Any,
    columns: int,
    *,
    scales: ArrayLike | None = None,
    exists: ArrayLike | None = None,
    transpose: bool = False,
    path: str | None = None,
) -> Float[Array, "*batch l"]:
    """``W x`` (or ``W^T x``) with ``W = sum_p c_p (M o S_p)`` from packed signs, of which no float matrix is formed.

    Works under ``jit``, ``vmap`` and ``grad`` (with respect to ``x`` and ``scales``): W is linear, so the derivative is
    the transposed product from the same bits.

    Args:
        bits: rows of packed signs (``unrollbit.signbits``: bit 1 is -1), uint8 (planes, blocks, rows,
            ceil(columns / 8)). Several blocks lie on the diagonal of W, whose shape is
            ``(m, n) = (blocks * rows, blocks * columns)``.
        x: vectors (..., n), transposed (..., m); all leading axes are batch axes. Integers become float32; float16
            and bfloat16 are computed in float32 and given back in their dtype.
        columns: of a block.
        scales: c_p: None (1), (planes,), (planes, m, 1) by row or (planes, 1, n) by column.
        exists: packed rows of the mask M (bit 1: the entry exists), uint8 (blocks, rows, ceil(columns / 8)), or None.
        transpose: the transposed product.
        path: one of ``kernels().available``; None takes ``kernels().path``. The C extension works in float32; inputs of
            another dtype take the portable path.

    Raises:
        ValueError: shapes that disagree, or a path that does not run here.
        TypeError: bits that are no bytes, or x that is no array of real numbers.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> from unrollbit.signbits import pack_signs
        >>> bits = jnp.asarray(pack_signs(np.array([[1.0, -1.0, 1.0], [1.0, 1.0, 1.0]])))
        >>> packed_matmul(bits[None, None], jnp.array([1.0, 2.0, 3.0]), 3).tolist()
        [2.0, 6.0]
    """
    bits, given = jnp.asarray(bits), as_real(x, "packed_matmul(x)")
    exists = None if exists is None else jnp.asarray(exists)
    x = widened(given)
    layout = _checked(bits, x, columns, exists, transpose)
    m, n = layout.shape
    planes = bits.shape[0]
    scales = jnp.ones(planes, x.dtype) if scales is None else as_real(scales, "packed_matmul(scales)")
    if scales.shape not in ((planes,), (planes, m, 1), (planes, 1, n)):
        wanted = f"({planes},), ({planes}, {m}, 1) or ({planes}, 1, {n})"
        raise ValueError(f"packed_matmul: expected scales of shape {wanted}, got {scales.shape}")
    chosen = kernels()
    if path is not None and path not in chosen.available:
        raise ValueError(f"packed_matmul: expected a path among {', '.join(chosen.available)}, got {path!r}")
    path = chosen.path if path is None else path
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    by_planes = BACKENDS[path].pays(layout, flat.shape[0], exists is not None, transpose)
    if by_planes and x.dtype == jnp.float32 and 0 not in flat.shape:
        out = _by_planes(layout, bits, scales, exists, flat, transpose, path)
    else:  # all planes are unpacked together
        out = product(layout, bits, scales, exists, flat, transpose)
    return out.reshape(*x.shape[:-1], out.shape[-1]).astype(given.dtype)


def _by_planes(
    layout: Layout, bits: Array, scales: Array, exists: Array | None, x: Array, transpose: bool, path: str
) -> Array:
    """Products of signs by plane; scales of rows multiply what comes out of W, or what goes into its transpose."""
    if exists is not None:  # an entry that does not exist is +1 in one plane and -1 in the other
        bits = jnp.concatenate([bits & exists, bits | ~exists])
        scales = jnp.concatenate([scales, scales]).astype(x.dtype) / 2
    factors = [scale.reshape(-1).astype(x.dtype) for scale in scales]  # of each plane: one number, or a vector
    if scales.ndim == 3 and (scales.shape[1] == 1) != transpose:
        parts = [_products(layout, bits[k : k + 1], x * factor, transpose, path) for k, factor in enumerate(factors)]
        terms = [out for part in parts for out in part]
    else:
        outs = _products(layout, bits, x, transpose, path)
        terms = [out * factor for out, factor in zip(outs, factors, strict=True)]
    if exists is not None:  # the two of a plane first: where nothing exists they are 0 together
        half = len(terms) // 2
        terms = [one + other for one, other in zip(terms[:half], terms[half:], strict=True)]
    return functools.reduce(jnp.add, terms)


def _products(layout: Layout, bits: Array, x: Array, transpose: bool, path: str) -> list[Array]:
    """Those of several planes with the same vectors: planes of one block are the rows of one matrix, which is faster,
    since inputs are prepared once.
    """
    multiply = functools.partial(signs_product, columns=layout.columns, transpose=transpose, path=path)
    if transpose or layout.blocks > 1:
        return [multiply(bits[k], x) for k in range(len(bits))]
    out = multiply(bits.reshape(1, -1, bits.shape[-1]), x)
    return [jax.lax.slice_in_dim(out, k * layout.rows, (k + 1) * layout.rows, axis=1) for k in range(len(bits))]


def _checked(bits: Array, x: Array, columns: int, exists: Array | None, transpose: bool) -> Layout:
    if bits.dtype != jnp.uint8:
        raise TypeError(f"packed_matmul: expected bits of dtype uint8, got {bits.dtype}")
    if isinstance(columns, bool) or not isinstance(columns, int) or columns < 1:
        raise ValueError(f"packed_matmul: expected a number of columns >= 1, got {columns!r}")
    if bits.ndim != 4 or 0 in bits.shape or bits.shape[-1] != -(-columns // 8):
        expected = f"(planes, blocks, rows, {-(-columns // 8)})"
        raise ValueError(f"packed_matmul: expected bits of shape {expected} for {columns} columns, got {bits.shape}")
    layout = Layout(bits.shape[1], bits.shape[2], columns)
    size = layout.shape[0] if transpose else layout.shape[1]
    if x.ndim == 0 or x.shape[-1] != size:
        raise ValueError(f"packed_matmul: expected the last axis of x to have {size} entries, got shape {x.shape}")
    if exists is not None and (exists.shape != bits.shape[1:] or exists.dtype != jnp.uint8):
        raise ValueError(
            f"packed_matmul: expected a mask of {bits.shape[1:]} bytes, got {exists.shape}, {exists.dtype}"
        )
    return layout
