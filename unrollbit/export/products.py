"""Products with operators, as calls of C functions: what each kind of ``runtime.Made`` becomes, in one table.

Every product adds ``factor`` times its result to the target, so sums of operators need no memory of their own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from unrollbit.export.product import Call, Product
from unrollbit.export.tables import literal
from unrollbit.export.transform_products import dct, fourier, hadamard, radon, subsampling, wavelet
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator, Structure


def transposed(product: Product, call: Call, operator: list[Operator]) -> None:
    product.emit(operator, dataclasses.replace(call, adjoint=not call.adjoint))


def scaled(product: Product, call: Call, operator: list[Operator], factor: list[float]) -> None:
    product.emit(operator, call.times(product.tables.number("factors", factor)))


def composed(product: Product, call: Call, outer: list[Operator], inner: list[Operator]) -> None:
    for diagonals, others in ((outer, inner), (inner, outer)):
        if (number := _constant(diagonals)) is not None:
            product.emit(others, call.times(product.tables.number("factors", number)))
            return
    size = inner[0].shape[0]
    between = product.work(size)
    first, second = (outer, inner) if call.adjoint else (inner, outer)
    product.emit(first, Call(call.source, between, literal(1), call.adjoint))
    product.emit(second, dataclasses.replace(call, source=between))
    product.free(size)


def added(product: Product, call: Call, first: list[Operator], second: list[Operator]) -> None:
    product.emit(first, call)
    product.emit(second, call)


def diagonal(product: Product, call: Call, diagonal: list[np.ndarray]) -> None:
    n, table = len(diagonal[0]), product.tables.floats("diagonal", diagonal)
    product.call("diagonal_add", n, table, call.factor, call.source, call.target, operations=3 * n)


def _constant(matrices: list[Operator]) -> list[float] | None:
    """The numbers that diagonal matrices multiply by, where each has one only."""
    lines = [matrix.made.parts["diagonal"] for matrix in matrices if matrix.made and matrix.made.kind == "diagonal"]
    constant = len(lines) == len(matrices) and all((line == line[0]).all() for line in lines)
    return [float(line[0]) for line in lines] if constant else None


def floats(product: Product, call: Call, rows: list[np.ndarray], blocks: list[int]) -> None:
    (m, n), count = rows[0].shape, blocks[0]
    name = "floats_transposed_add" if call.adjoint else "floats_add"
    table = product.tables.floats("matrix", rows)
    product.call(name, count, m // count, n, table, call.factor, call.source, call.target, operations=2 * m * n)


def quantised(
    product: Product,
    call: Call,
    structure: list[Structure],
    packed: list[np.ndarray],
    scales: list[np.ndarray],
    scale: list[str],
    per_byte: list[int],
    compact: list[bool],
) -> None:
    if not compact[0] and structure[0].exists is not None:
        raise ValueError("export to C: packed physics under an irregular mask have no C; export with --stablehlo")
    for p in range(len(packed[0])):  # sums of planes need no memory: all add to the target
        plane, values = [bits[p] for bits in packed], [factors[p] for factors in scales]
        codes = [_codes(structure[0], bits, per_byte[0]) for bits in plane]
        if scale[0] in ("row", "column"):
            lines = [runtime.diagonal(line) for line in values]
            pairs = zip(lines, codes, strict=True) if scale[0] == "row" else zip(codes, lines, strict=True)
            product.emit([runtime.composed(*pair) for pair in pairs], call)
        else:
            product.emit(codes, call.times(product.tables.number("scales", values)))


def _codes(structure: Structure, packed: np.ndarray, per_byte: int) -> Operator:
    """One plane without its scale."""

    def unknown(x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    made = runtime.Made("codes", {"structure": structure, "packed": packed, "per_byte": per_byte})
    return Operator(structure.shape, unknown, unknown, made=made)


def codes(
    product: Product, call: Call, structure: list[Structure], packed: list[np.ndarray], per_byte: list[int]
) -> None:
    (m, n), blocks = structure[0].shape, structure[0].blocks
    table = product.tables.codes("codes", packed)
    if structure[0].exists is not None or structure[0].places is not None:
        _masked(product, call, structure[0], table, per_byte[0])
        return
    signs = per_byte[0] == 8
    name = ("signs" if signs else "codes") + ("_transposed_add" if call.adjoint else "_add")
    name += "_fixed" if signs and product.fixed_point else ""
    sizes = [blocks, m // blocks, n // blocks, *([] if signs else per_byte[:1])]
    product.call(name, *sizes, table, call.factor, call.source, call.target, operations=m * n // blocks)


def _masked(product: Product, call: Call, structure: Structure, table: str, per_byte: int) -> None:
    factors = structure.factors or (structure,)
    shapes = [(1, 1), *(factor.shape for factor in factors)][-2:]
    lists = [_runs(np.zeros(1, int), np.zeros(1, int), 1), *map(_runs_of, factors)][-2:]
    sides = product.tables.integers("sides", [side for shape in shapes for side in shape])
    runs = [product.tables.places(hint, array) for pair in lists for hint, array in zip(_RUNS, pair, strict=True)]
    count = math.prod(int(lengths[:, 1].sum()) for _, lengths in lists)
    flag = int(call.adjoint)
    product.call(
        "masked_add", sides, *runs, per_byte, table, flag, call.factor, call.source, call.target, operations=count
    )


_RUNS = ("starts", "runs")


def _runs_of(structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """The runs of an irregular structure."""
    if structure.places is None:
        assert structure.exists is not None
        rows, columns = np.nonzero(structure.exists())
        return _runs(rows, columns, structure.shape[0])
    return _runs(*structure.places, structure.shape[0])


def _runs(rows: np.ndarray, columns: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the runs of each of ``count`` rows begin in the list of all, and their first columns and lengths."""
    begins = np.flatnonzero((np.diff(rows, prepend=-1) != 0) | (np.diff(columns, prepend=-1) != 1))
    lengths = np.diff(begins, append=len(rows))
    return np.searchsorted(rows[begins], np.arange(count + 1)), np.stack([columns[begins], lengths], 1)


def listed(product: Product, call: Call, structure: list[Structure], entries: list[np.ndarray]) -> None:
    assert structure[0].places is not None
    (rows, columns), m = structure[0].places, structure[0].shape[0]
    starts = product.tables.places("starts", np.searchsorted(rows, np.arange(m + 1)))
    lists = starts, product.tables.places("columns", columns), product.tables.floats("entries", entries)
    product.call(
        "listed_add", m, *lists, int(call.adjoint), call.factor, call.source, call.target, operations=2 * len(rows)
    )


def patterns(
    product: Product, call: Call, sides: list[tuple[int, ...]], size: list[int], signs: list[np.ndarray]
) -> None:
    grid = product.tables.integers("grid", [*sides[0], size[0], len(signs[0])])
    table, scale = product.tables.codes("codes", signs), call.times(literal(1 / size[0])).factor
    work = 2 * len(signs[0]) * math.prod(sides[0])
    product.call("patterns_add", grid, table, int(call.adjoint), scale, call.source, call.target, operations=work)


def correlation(
    product: Product,
    call: Call,
    taps: list[np.ndarray],
    sides: list[tuple[int, ...]],
    counts: list[tuple[int, ...]],
    lower: list[tuple[int, ...]],
    stride: list[int],
    wraps: list[bool],
) -> None:
    two = len(sides[0]) == 2
    axes = [part[0] if two else (fill, *part[0]) for part, fill in ((sides, 1), (counts, 1), (lower, 0))]
    shape = taps[0].shape if two else (1, *taps[0].shape)
    grid = [*axes[0], *axes[1], *axes[2], *shape, stride[0], int(wraps[0])]
    arguments = product.tables.integers("grid", grid), product.tables.floats("taps", taps), int(call.adjoint)
    work = 2 * math.prod(counts[0]) * taps[0].size
    product.call("correlation_add", *arguments, call.factor, call.source, call.target, operations=work)


PRODUCTS: Mapping[str, Callable[..., None]] = {
    "added": added,
    "codes": codes,
    "composed": composed,
    "correlation": correlation,
    "dct": dct,
    "diagonal": diagonal,
    "floats": floats,
    "fourier": fourier,
    "hadamard": hadamard,
    "listed": listed,
    "patterns": patterns,
    "quantised": quantised,
    "radon": radon,
    "scaled": scaled,
    "subsampling": subsampling,
    "transposed": transposed,
    "wavelet": wavelet,
}
