"""Packed products against float32: time, error against float64 and memory, for one size after the other."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.cli.bench_timing import Function, Timer, extra_mebibytes, in_turn
from unrollbit.kernels import packed_matmul

DIRECTIONS = ("forward", "transpose")
Row = dict[str, Any]
_PANEL = 2**24  # matrix entries that exist in float64 at a time
_CHECKED = 8  # vectors of a batch whose error is measured


class Case(NamedTuple):
    """A product: ``blocks`` matrices (rows, columns) on the diagonal, ``batch`` vectors."""

    rows: int
    columns: int
    batch: int
    blocks: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        return self.blocks * self.rows, self.blocks * self.columns

    @property
    def name(self) -> str:
        """The matrix in words."""
        size = f"{self.rows} x {self.columns}"
        return size if self.blocks == 1 else f"{self.blocks} blocks of {size}"


def cases(shapes: Sequence[tuple[int, int, int]], batches: Sequence[int]) -> list[Case]:
    """All batches of every (rows, columns, blocks)."""
    return [Case(rows, columns, batch, blocks) for rows, columns, blocks in shapes for batch in batches]


def measure(
    found: Sequence[Case], path: str, caches: Sequence[str], timer: Timer, bandwidth: float, seed: int = 0
) -> Iterator[Row]:
    """Rows of the table, as they come: both directions, caches as asked (cold ones for single vectors only)."""
    held: tuple[tuple[int, int, int], Array, Array] | None = None
    for case in found:
        shape = (case.blocks, case.rows, case.columns)
        random = np.random.RandomState(seed)
        if held is None or held[0] != shape:
            held = None  # before the next one is made
            bits = random.randint(0, 256, (case.blocks, case.rows, -(-case.columns // 8)), np.uint8)
            packed = jnp.asarray(bits)
            extra = _extra(case, packed, path)
            held = (shape, packed, _floats(bits, case))
        for direction in DIRECTIONS:
            inputs = case.shape[direction == "forward"]
            x = jnp.asarray(random.standard_normal((case.batch, inputs)).astype(np.float32))
            yield from _rows(case, direction, held[1], held[2], x, path, caches, timer, bandwidth, extra)


def _rows(
    case: Case,
    direction: str,
    bits: Array,
    matrix: Array,
    x: Array,
    path: str,
    caches: Sequence[str],
    timer: Timer,
    bandwidth: float,
    extra: float | None,
) -> Iterator[Row]:
    transpose = direction == "transpose"
    product = packed(case.columns, transpose, path)
    form = faster_form(case, transpose, matrix, x)
    calls: dict[str, tuple[Any, Array]] = {"packed": (product, bits), form: (_compiled(form), matrix)}
    estimate = product(bits, x)[:_CHECKED]
    error = relative_error(estimate, exact(bits, np.asarray(x[:_CHECKED]), case, transpose))
    for cache in caches:
        if cache == "cold" and case.batch > 1:
            continue
        functions: dict[str, Function] = {}
        for name, (function, held) in calls.items():
            call = functools.partial(_run, function, x)
            functions[name] = in_turn(call, held) if cache == "cold" else functools.partial(call, held)
        seconds = timer.compare(functions)
        spent = seconds["packed"]
        m, n = case.shape
        yield {
            "path": path,
            "matrix": case.name,
            "m": m,
            "n": n,
            "blocks": case.blocks,
            "batch": case.batch,
            "direction": direction,
            "cache": cache,
            "speedup": seconds[form] / spent,
            "relative_error": error,
            "extra_mib": extra,
            "float32_microseconds": 1e6 * seconds[form],
            "packed_microseconds": 1e6 * spent,
            "float32_form": form,
            "roofline_share": bits.nbytes / bandwidth / spent,
        }


@functools.lru_cache(maxsize=64)
def packed(columns: int, transpose: bool, path: str) -> Any:
    """The compiled packed product."""
    return jax.jit(lambda bits, x: packed_matmul(bits[None], x, columns, transpose=transpose, path=path))


@functools.lru_cache(maxsize=64)
def _compiled(expression: str) -> Any:
    forms = {
        "(W X^T)^T": lambda W, x: (W @ x.T).T,
        "X W^T": lambda W, x: x @ W.T,
        "X W": lambda W, x: x @ W,
        "(W^T X^T)^T": lambda W, x: (W.T @ x.T).T,
        "einsum": lambda W, x: _blocks(W, x, "bij,kbj->kbi"),
        "einsum, transposed": lambda W, x: _blocks(W, x, "bij,kbi->kbj"),
    }
    return jax.jit(forms[expression])


def float_forms(case: Case, transpose: bool) -> dict[str, Any]:
    """Float32 products of the same values in the forms that XLA may prefer."""
    if case.blocks > 1:
        names = ("einsum, transposed",) if transpose else ("einsum",)
    else:
        names = ("X W", "(W^T X^T)^T") if transpose else ("(W X^T)^T", "X W^T")
    return {name: _compiled(name) for name in names}


def faster_form(case: Case, transpose: bool, matrix: Array, x: Array) -> str:
    """The form of the float32 product that XLA runs faster, up to 20 times, by the best of three calls."""
    best: dict[str, float] = {}
    for name, form in float_forms(case, transpose).items():
        _run(form, x, matrix)  # compiles
        for _ in range(3):
            started = time.perf_counter()
            _run(form, x, matrix)
            best[name] = min(best.get(name, math.inf), time.perf_counter() - started)
    return min(best, key=lambda name: best[name])


def float_product(case: Case, transpose: bool, matrix: Array, x: Array) -> Function:
    """The float32 product, in its faster form."""
    return functools.partial(_run, _compiled(faster_form(case, transpose, matrix, x)), x, matrix)


def _blocks(W: Array, x: Array, expression: str) -> Array:
    return jnp.einsum(expression, W, x.reshape(len(x), len(W), -1)).reshape(len(x), -1)


def _run(product: Any, x: Array, matrix: Array) -> None:
    product(matrix, x).block_until_ready()


def _extra(case: Case, bits: Array, path: str) -> float | None:
    """Extra memory of a product with one vector: the larger direction."""
    found = []
    for transpose in (False, True):
        product = packed(case.columns, transpose, path)
        x = jnp.ones((1, case.shape[0 if transpose else 1]), jnp.float32)
        compiled = product.lower(bits, x).compile()
        found.append(extra_mebibytes(lambda run=compiled, x=x: run(bits, x).block_until_ready()))
    return None if None in found else max(found)


def signs(bits: np.ndarray, columns: int, dtype: Any) -> np.ndarray:
    """+-1 of packed rows."""
    unpacked = np.unpackbits(bits, axis=-1, count=columns, bitorder="little")
    return np.subtract(1, np.multiply(unpacked, 2, dtype=dtype), dtype=dtype)


def _floats(bits: np.ndarray, case: Case) -> Array:
    matrix = signs(bits, case.columns, np.float32)
    return jnp.asarray(matrix if case.blocks > 1 else matrix[0])


def exact(bits: Array, x: np.ndarray, case: Case, transpose: bool) -> np.ndarray:
    """The product in float64, a few rows of the matrix at a time."""
    blocks = np.asarray(bits)
    parts = x.astype(np.float64).reshape(len(x), case.blocks, -1)
    out = np.zeros((len(x), case.blocks, case.columns if transpose else case.rows))
    step = max(1, _PANEL // case.columns)
    for block in range(case.blocks):
        for row in range(0, case.rows, step):
            panel = signs(blocks[block, row : row + step], case.columns, np.float64)
            if transpose:
                out[:, block] += parts[:, block, row : row + step] @ panel
            else:
                out[:, block, row : row + step] = parts[:, block] @ panel.T
    return out.reshape(len(x), -1)


def relative_error(estimate: Any, wanted: np.ndarray) -> float:
    """``||found - exact|| / ||exact||`` over all vectors."""
    return float(np.linalg.norm(np.asarray(estimate, np.float64) - wanted) / np.linalg.norm(wanted))
