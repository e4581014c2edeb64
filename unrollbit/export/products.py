"""Products with operators, as calls of C functions: what each kind of ``runtime.Made`` becomes, in one table.

Every product adds ``factor`` times its result to the target, so sums of operators need no memory of their own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrollbit.export.tables import Tables, literal
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator, Structure


@dataclass(frozen=True)
class Call:
    """``target += factor A source``, or with the transpose of A: C texts of two pointers and of a number."""

    source: str
    target: str
    factor: str
    adjoint: bool

    def times(self, factor: str) -> Call:
        """With the factor multiplied."""
        product = factor if self.factor == literal(1) else f"{self.factor} * {factor}"
        return dataclasses.replace(self, factor=self.factor if factor == literal(1) else product)


class Product:
    """The body of a C function that multiplies by a matrix; ``lines`` of it, ``floats`` of work, ``operations``."""

    def __init__(self, tables: Tables, fixed_point: bool = False) -> None:
        self.tables, self.fixed_point = tables, fixed_point
        self.lines: list[str] = []
        self.floats = 0
        self.operations = 0
        self._held = 0

    def emit(self, matrices: Sequence[Operator], call: Call) -> None:
        """Add the product with matrix ``layer`` modulo their number. Raises ``ValueError`` for a kind without C."""
        first = matrices[0].made
        if first is None:
            raise ValueError(
                "export to C: a matrix whose products are known only as a program (LittleBit under an irregular mask, "
                "or a kind without C); choose another format for this map, or export with --stablehlo or --onnx"
            )
        parts = {name: [matrix.made.parts[name] for matrix in matrices] for name in first.parts}  # pyright: ignore
        runtime.kind_of({"kind": first.kind}, PRODUCTS, "operator of the export to C")(self, call, **parts)

    def call(self, function: str, *arguments: Any, operations: int = 0) -> None:
        """A call of a C function."""
        self.lines.append(f"{function}({', '.join(map(str, arguments))});")
        self.operations += operations

    def work(self, size: int, *, cleared: bool = True) -> str:
        """A pointer to so many floats of work, zeros; ``free`` gives them back."""
        place = f"&work[{self._held}]"
        self._held += size
        self.floats = max(self.floats, self._held)
        if cleared:
            self.call("zero", size, place)
        return place

    def free(self, size: int) -> None:
        """Give back what was taken last."""
        self._held -= size


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


def hadamard(product: Product, call: Call, drawn: list[Callable[[], Any]], size: list[float]) -> None:
    (kept, signs), call = drawn[0](), call.times(literal(1 / size[0]))
    n = len(signs)
    flips = product.tables.codes("signs", [np.packbits(signs < 0, bitorder="little")])
    image = product.work(n)
    if call.adjoint:
        _kept(product, dataclasses.replace(call, target=image, factor=literal(1)), kept)
    else:
        product.call("add", n, literal(1), call.source, image)
        product.call("flip", n, flips, image)
    product.call("hadamard", n, image, operations=n * int(math.log2(n)))
    if call.adjoint:
        product.call("flip", n, flips, image)
        product.call("add", n, call.factor, image, call.target, operations=2 * n)
    else:
        _kept(product, dataclasses.replace(call, source=image), kept)
    product.free(n)


def subsampling(product: Product, call: Call, kept: list[np.ndarray]) -> None:
    _kept(product, call, kept[0])


def _kept(product: Product, call: Call, kept: np.ndarray) -> None:
    """Entries of a list, or their transpose; the first ones in order need no list."""
    m = len(kept)
    if np.array_equal(kept, np.arange(m)):
        product.call("add", m, call.factor, call.source, call.target, operations=2 * m)
        return
    name, table = "scatter_add" if call.adjoint else "gather_add", product.tables.places("kept", kept)
    product.call(name, m, table, call.factor, call.source, call.target, operations=2 * m)


def _in_place(product: Product, call: Call, kept: np.ndarray, n: int, transform: Callable[[str], None]) -> None:
    """A product with some rows of an orthogonal transform, which works in place."""
    image = product.work(n)
    before, after = Call(call.source, image, literal(1), call.adjoint), dataclasses.replace(call, source=image)
    if call.adjoint:
        _kept(product, before, kept)
    else:
        product.call("add", n, literal(1), call.source, image)
    transform(image)
    if call.adjoint:
        product.call("add", n, call.factor, image, call.target, operations=2 * n)
    else:
        _kept(product, after, kept)
    product.free(n)


def dct(product: Product, call: Call, sides: list[tuple[int, ...]], kept: list[np.ndarray]) -> None:
    height, width = (1, *sides[0])[-2:]
    tables = [
        product.tables.floats("cosines", [np.cos(np.pi * np.arange(4 * side) / (2 * side))]) for side in (height, width)
    ]

    def transform(image: str) -> None:
        line = product.work(max(sides[0]), cleared=False)
        work = 2 * math.prod(sides[0]) * sum(sides[0])
        product.call("dct", height, width, *tables, int(call.adjoint), image, line, operations=work)
        product.free(max(sides[0]))

    _in_place(product, call, kept[0], math.prod(sides[0]), transform)


def wavelet(
    product: Product, call: Call, sides: list[tuple[int, ...]], bank: list[np.ndarray], levels: list[int]
) -> None:
    height, width = (1, *sides[0])[-2:]
    n, taps, table = height * width, bank[0].shape[1], product.tables.floats("bank", bank)

    def transform(list_: str) -> None:
        image, line = product.work(n, cleared=False), product.work(max(sides[0]), cleared=False)
        name = "wavelet_analysis" if call.adjoint else "wavelet_synthesis"
        work = 4 * taps * n * len(sides[0])
        product.call(name, height, width, levels[0], taps, table, list_, image, line, operations=work)
        product.free(n + max(sides[0]))

    _in_place(product, call, np.arange(n), n, transform)


def fourier(product: Product, call: Call, sides: list[tuple[int, ...]], kept: list[np.ndarray]) -> None:
    height, width = (1, *sides[0])[-2:]
    n, pairs = height * width, len(kept[0])
    angles = [2 * np.pi * np.arange(side) / side for side in (height, width)]
    tables = [product.tables.floats("waves", [np.concatenate([np.cos(a), np.sin(a)])]) for a in angles]
    real, imaginary = product.work(n), product.work(n)
    line = product.work(2 * max(sides[0]), cleared=False)
    index = product.tables.places("kept", kept[0])
    if call.adjoint:
        product.call("scatter_add", pairs, index, literal(1), call.source, real)
        product.call("scatter_add", pairs, index, literal(1), f"{call.source} + {pairs}", imaginary)
    else:
        product.call("add", n, literal(1), call.source, real)
    direction = literal(1 if call.adjoint else -1)
    product.call("dft", height, width, *tables, direction, real, imaginary, line, operations=8 * n * sum(sides[0]))
    if call.adjoint:
        product.call("add", n, call.factor, real, call.target)
    else:
        product.call("gather_add", pairs, index, call.factor, real, call.target)
        product.call("gather_add", pairs, index, call.factor, imaginary, f"{call.target} + {pairs}")
    product.free(2 * n + 2 * max(sides[0]))


def radon(product: Product, call: Call, size: list[int], radians: list[np.ndarray]) -> None:
    waves = [product.tables.floats("waves", [wave(radians[0])]) for wave in (np.cos, np.sin)]
    count, flag = len(radians[0]), int(call.adjoint)
    work = 40 * count * size[0] ** 2
    product.call("radon_add", size[0], count, *waves, flag, call.factor, call.source, call.target, operations=work)


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
