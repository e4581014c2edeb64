"""Products with a matrix of few entries as JAX primitives, bilinear in the entries and the vectors.

Entries are listed row by row. A product takes the k-th entry of every row at once and adds them up over k: it reads and
never scatters. Long rows are cut into pieces, which bounds the steps where rows differ in length. The transposed
product does the same by columns, from the same entries in the order of their columns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float, Int

from unrollbit.kernels.primitive import primitive

_UNROLLED = 4  # steps of the sum over k in one iteration
_LEAVES = 9  # arrays of indices
_AT_A_TIME = 2**20  # numbers that a step of the product of vectors forms
Take = Callable[[Int[Array, " lines"]], Float[Array, " lines"]]  # the entries of these numbers


class Lines(NamedTuple):
    """Pieces of rows (or columns): where each begins in the list of entries, its length, and the row that it is of."""

    starts: Any
    lengths: Any
    owners: Any

    @classmethod
    def of(cls, counts: Int[np.ndarray, " rows"]) -> Lines:
        """Pieces of rows with these numbers of entries: at most twice as many places as there are entries."""
        total, longest = int(counts.sum()), int(counts.max())
        width = longest if longest * len(counts) <= 2 * total else -(-total // len(counts))
        pieces = np.maximum(1, -(-counts // width))
        owners = np.repeat(np.arange(len(counts)), pieces)
        offsets = width * (np.arange(len(owners)) - (np.cumsum(pieces) - pieces)[owners])
        starts = (np.cumsum(counts) - counts)[owners] + offsets
        lengths = np.minimum(width, counts[owners] - offsets)
        return cls(starts.astype(np.int32), lengths.astype(smallest(width)), owners.astype(smallest(len(counts))))


class Indices(NamedTuple):
    """Row and column of each entry, the entries in the order of their columns, and the pieces of rows and columns."""

    rows: Any
    columns: Any
    order: Any
    by_row: Lines
    by_column: Lines

    @classmethod
    def of(cls, m: int, n: int, rows: Int[np.ndarray, " size"], columns: Int[np.ndarray, " size"]) -> Indices:
        """Of entries listed row by row."""
        order = np.argsort(columns, kind="stable").astype(np.int32)
        lines = Lines.of(np.bincount(rows, minlength=m)), Lines.of(np.bincount(columns, minlength=n))
        return cls(rows.astype(smallest(m)), columns.astype(smallest(n)), order, *lines)

    @property
    def sizes(self) -> Sizes:
        """Of host arrays."""
        by_row, by_column = self.by_row, self.by_column
        m, n = int(by_row.owners[-1]) + 1, int(by_column.owners[-1]) + 1
        return Sizes(m, n, int(by_row.lengths.max()), int(by_column.lengths.max()))


class Sizes(NamedTuple):
    """Rows, columns, and the longest pieces of both."""

    m: int
    n: int
    row_steps: int
    column_steps: int


def smallest(count: int) -> Any:
    """The narrowest dtype, among those that files have, of indices up to ``count``."""
    return np.uint8 if count < 2**8 else np.uint16 if count < 2**16 else np.int32


def product_of(take: Take, x: Float[Array, "batch k"], indices: Indices, sizes: Sizes, transpose: bool) -> Array:
    """``W x`` or ``W^T x``; ``take`` gives entries by their numbers, when they are needed: nothing of the size of all
    of them is formed.
    """
    pieces, places = (indices.by_column, indices.rows) if transpose else (indices.by_row, indices.columns)
    lines, steps = (sizes.n, sizes.column_steps) if transpose else (sizes.m, sizes.row_steps)
    vectors, last = x.T, indices.order.shape[0] - 1

    def add(k: int | Array, total: Array) -> Array:
        at = jnp.minimum(pieces.starts + k, last)
        at = indices.order[at] if transpose else at
        entries = jnp.where(k < pieces.lengths, take(at), 0).astype(x.dtype)
        return total + entries[:, None] * vectors[places[at].astype(jnp.int32)]

    start = jnp.zeros((pieces.starts.shape[0], x.shape[0]), x.dtype)
    total = jax.lax.fori_loop(0, steps, add, start, unroll=min(_UNROLLED, steps))
    if len(start) > lines:
        total = jax.ops.segment_sum(total, pieces.owners.astype(jnp.int32), lines, indices_are_sorted=True)
    return total.T


def _entries_of(r: Float[Array, "batch m"], x: Float[Array, "batch n"], indices: Indices) -> Float[Array, " size"]:
    """``sum_b r_b x_b^T`` where the matrix has entries."""
    by_row, by_column = r.T, x.T

    def one(place: tuple[Array, Array]) -> Array:
        row, column = place
        return jnp.sum(by_row[row.astype(jnp.int32)] * by_column[column.astype(jnp.int32)])

    count = max(1, _AT_A_TIME // max(1, r.shape[0]))
    return jax.lax.map(one, (indices.rows, indices.columns), batch_size=count)


sparse_product_p, sparse_entries_p = primitive("sparse_product"), primitive("sparse_entries")


def sparse_product(
    entries: Float[Array, " size"], x: Float[Array, "batch k"], indices: Indices, sizes: Sizes, transpose: bool
) -> Float[Array, "batch l"]:
    """``W x`` or ``W^T x``, differentiable in both."""
    return sparse_product_p.bind(entries, x, *jax.tree.leaves(indices), sizes=sizes, transpose=transpose)


@sparse_product_p.def_abstract_eval
def _product_shape(entries: Any, x: Any, *_: Any, sizes: Sizes, transpose: bool) -> Any:
    return x.update(shape=(x.shape[0], sizes.n if transpose else sizes.m), weak_type=False)


@sparse_entries_p.def_abstract_eval
def _entries_shape(r: Any, x: Any, rows: Any, *_: Any, sizes: Sizes) -> Any:
    return x.update(shape=rows.shape, weak_type=False)


def _indices(leaves: Any) -> Indices:
    rows, columns, order, *lines = leaves
    return Indices(rows, columns, order, Lines(*lines[:3]), Lines(*lines[3:]))


def _run_product(entries: Array, x: Array, *leaves: Array, sizes: Sizes, transpose: bool) -> Array:
    return product_of(lambda at: entries[at], x, _indices(leaves), sizes, transpose)


def _run_entries(r: Array, x: Array, *leaves: Array, sizes: Sizes) -> Array:
    return _entries_of(r, x, _indices(leaves))


def _bilinear(made: Any, transpose: Any) -> None:
    """The rules of a primitive that is linear in its first two arguments and has nothing to differentiate beside."""

    def in_first(tangent: Any, _: Any, second: Any, *leaves: Array, **params: Any) -> Array:
        return made.bind(tangent, second, *leaves, **params)

    def in_second(tangent: Any, first: Any, _: Any, *leaves: Array, **params: Any) -> Array:
        return made.bind(first, tangent, *leaves, **params)

    ad.defjvp(made, in_first, in_second, *[None] * _LEAVES)
    ad.primitive_transposes[made] = transpose


def _transposed_product(ct: Any, entries: Any, x: Any, *leaves: Array, sizes: Sizes, transpose: bool) -> list[Any]:
    if ad.is_undefined_primal(entries):
        pair = (x, ct) if transpose else (ct, x)
        found: tuple[Any, Any] = (sparse_entries_p.bind(*pair, *leaves, sizes=sizes), None)
    else:
        found = (None, sparse_product_p.bind(entries, ct, *leaves, sizes=sizes, transpose=not transpose))
    return [*found, *[None] * len(leaves)]


def _transposed_entries(ct: Any, r: Any, x: Any, *leaves: Array, sizes: Sizes) -> list[Any]:
    if ad.is_undefined_primal(r):
        found: tuple[Any, Any] = (sparse_product_p.bind(ct, x, *leaves, sizes=sizes, transpose=False), None)
    else:
        found = (None, sparse_product_p.bind(ct, r, *leaves, sizes=sizes, transpose=True))
    return [*found, *[None] * len(leaves)]


def _batched_product(arguments: Any, axes: Any, **params: Any) -> tuple[Array, int]:
    entries, x, *leaves = arguments
    if axes[0] is None:  # one matrix, more vectors
        x = jnp.moveaxis(x, axes[1], 0)
        out = sparse_product_p.bind(entries, x.reshape(-1, x.shape[-1]), *leaves, **params)
        return out.reshape(*x.shape[:2], -1), 0
    return _one_by_one(sparse_product_p, arguments, axes, params)


def _batched_entries(arguments: Any, axes: Any, **params: Any) -> tuple[Array, int]:
    return _one_by_one(sparse_entries_p, arguments, axes, params)


def _one_by_one(made: Any, arguments: Any, axes: Any, params: Any) -> tuple[Array, int]:
    pair, leaves = arguments[:2], arguments[2:]
    size = next(value.shape[axis] for value, axis in zip(pair, axes, strict=False) if axis is not None)
    first, second = (
        jnp.broadcast_to(value, (size, *value.shape)) if axis is None else jnp.moveaxis(value, axis, 0)
        for value, axis in zip(pair, axes, strict=False)
    )
    return jax.lax.map(lambda own: made.bind(*own, *leaves, **params), (first, second)), 0


_bilinear(sparse_product_p, _transposed_product)
_bilinear(sparse_entries_p, _transposed_entries)
batching.primitive_batchers[sparse_product_p] = _batched_product
batching.primitive_batchers[sparse_entries_p] = _batched_entries
mlir.register_lowering(sparse_product_p, mlir.lower_fun(_run_product, multiple_results=False))
mlir.register_lowering(sparse_entries_p, mlir.lower_fun(_run_entries, multiple_results=False))
