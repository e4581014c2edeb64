"""Products with operators in ONNX: what each kind of ``runtime.Made`` becomes, in one table.

A rule maps recorded signals (batch, size) to their products. Signs and trits stay packed in the file: the graph unpacks
them, once for all layers.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from unrollbit.export.onnx_graph import Graph, Recorded
from unrollbit.export.onnx_transforms import dct, fourier, hadamard, periodic_inverse, subsampling, wavelet
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator, Structure

LARGEST_MATRIX = 2**24  # entries of a matrix of floats that is written out for want of a rule


def recorded(A: Operator) -> Operator:
    """The operator with products of recorded signals beside those of arrays."""

    def product(adjoint: bool) -> Callable[[Any], Any]:
        own = A.adjoint if adjoint else A.apply
        return lambda x: _product(A, x, adjoint) if isinstance(x, Recorded) else own(x)

    changed: dict[str, Any] = {"apply": product(False), "adjoint": product(True)}
    changed["accept"] = None if A.accept is None else recorded(A.accept)
    changed["estimate"] = None if A.estimate is None else lambda y: _estimate(A, y)
    changed["inverse"] = None if A.inverse is None else lambda: periodic_inverse(A)
    return dataclasses.replace(A, **changed)


def _estimate(A: Operator, y: Recorded) -> Recorded:
    """The linear estimate of physics that has one of its own."""
    made = A.made
    if made is None or made.kind not in ESTIMATES:
        what = "an operator" if made is None else made.kind
        raise ValueError(f"export to ONNX: the linear estimate of {what} has no rule; export with --stablehlo")
    return ESTIMATES[made.kind](y, **made.parts, **made.estimate)


def _product(A: Operator, x: Recorded, adjoint: bool) -> Recorded:
    if A.bank is not None:
        return _bank(x, adjoint, *A.bank)
    made = A.made
    if made is not None and made.kind in PRODUCTS:
        found = PRODUCTS[made.kind](x, adjoint, **made.parts)
        if found is not None:
            return found
    if math.prod(A.shape) > LARGEST_MATRIX:
        what = "an operator" if made is None else made.kind
        raise ValueError(
            f"export to ONNX: {what} of shape {A.shape} has no rule, and is too large to be written out as a matrix; "
            "export with --stablehlo"
        )
    key = id(A)
    if key not in x.graph.matrices:
        x.graph.matrices[key] = A.dense()
    return _by_blocks(x, adjoint, _constant(x, x.graph.matrices[key]), 1)


def _constant(x: Recorded, matrix: np.ndarray) -> Recorded:
    """A matrix as a constant of the graph."""
    return Recorded(x.graph, x.graph.constant(matrix), matrix.shape)


def transposed(x: Recorded, adjoint: bool, operator: Operator) -> Recorded:
    return _product(operator, x, not adjoint)


def scaled(x: Recorded, adjoint: bool, operator: Operator, factor: float) -> Recorded:
    return np.float32(factor) * _product(operator, x, adjoint)


def composed(x: Recorded, adjoint: bool, outer: Operator, inner: Operator) -> Recorded:
    first, second = (outer, inner) if adjoint else (inner, outer)
    return _product(second, _product(first, x, adjoint), adjoint)


def added(x: Recorded, adjoint: bool, first: Operator, second: Operator) -> Recorded:
    return _product(first, x, adjoint) + _product(second, x, adjoint)


def diagonal(x: Recorded, adjoint: bool, diagonal: np.ndarray) -> Recorded:
    return x * diagonal


def floats(x: Recorded, adjoint: bool, rows: np.ndarray, blocks: int) -> Recorded:
    return _by_blocks(x, adjoint, _constant(x, rows), blocks)


def _by_blocks(x: Recorded, adjoint: bool, rows: Recorded, blocks: int) -> Recorded:
    """Products with diagonal blocks whose rows follow one another."""
    m, n = rows.shape
    if blocks == 1:
        return x @ (rows if adjoint else rows.swapaxes(0, 1))
    shape = (blocks, m // blocks, n)
    core = Recorded(rows.graph, rows.graph.node("Reshape", rows.name, rows.integers(*shape)), shape)
    parts = x.reshape(1, blocks, 1, -1) @ (core if adjoint else core.swapaxes(1, 2))
    return parts.reshape(1, -1)


def quantised(
    x: Recorded,
    adjoint: bool,
    structure: Structure,
    packed: np.ndarray,
    scales: np.ndarray,
    scale: str,
    per_byte: int,
    compact: bool,
) -> Recorded | None:
    mask = structure.mask()
    if structure.places is not None or (mask is not None and not compact):
        return None
    (m, n), blocks = structure.shape, structure.blocks
    total = None
    for plane, values in zip(packed, scales, strict=True):
        codes = _unpacked(x.graph, plane.reshape(-1, plane.shape[-1]), runtime.row_of(structure), per_byte)
        if mask is not None:
            places = np.flatnonzero(mask)
            flat = x.graph.node("Reshape", codes.name, codes.integers(-1))
            zeros = x.graph.node("ConstantOfShape", codes.integers(m * n))
            whole = x.graph.node("ScatterElements", zeros, x.graph.constant(places), flat, axis=0)
            codes = Recorded(x.graph, x.graph.node("Reshape", whole, codes.integers(m, n)), (m, n))
        if scale == "column":
            values = np.repeat(values.reshape(blocks, -1), m // blocks, axis=0) if blocks > 1 else values
        term = codes * (values[:, None] if scale == "row" else values)
        total = term if total is None else total + term
    assert total is not None
    return _by_blocks(x, adjoint, total, blocks)


def _unpacked(graph: Graph, packed: np.ndarray, count: int, per_byte: int) -> Recorded:
    """Rows of bytes as rows of ``count`` numbers -1, 0, 1, computed in the graph."""
    rows, width = packed.shape
    held = Recorded(graph, graph.constant(packed[..., None]), (rows, width, 1))
    if per_byte == 5:
        powers = graph.constant(np.array([1, 3, 9, 27, 81], np.int32))
        wide = graph.node("Cast", held.name, to=TensorProto.INT32)
        digits = graph.node("Mod", graph.node("Div", wide, powers), graph.constant(np.array(3, np.int32)))
    else:
        step = 8 // per_byte
        shifts = graph.constant(np.arange(0, 8, step, dtype=np.uint8))
        shifted = graph.node("BitShift", held.name, shifts, direction="RIGHT")
        digits = graph.node("BitwiseAnd", shifted, graph.constant(np.array(2**step - 1, np.uint8)))
    digit = Recorded(graph, graph.node("Cast", digits, to=TensorProto.FLOAT), (rows, width, per_byte))
    if per_byte == 8:
        numbers = np.float32(1) - np.float32(2) * digit
    else:  # 0, 1, and 2 or 3 for -1
        numbers = digit - (digit > np.float32(1)) * (digit + np.float32(1))
    shape = (rows, width * per_byte)
    flat = Recorded(graph, graph.node("Reshape", numbers.name, numbers.integers(*shape)), shape)
    return flat[:, :count]


def correlation(
    x: Recorded,
    adjoint: bool,
    taps: np.ndarray,
    sides: tuple[int, ...],
    counts: tuple[int, ...],
    lower: tuple[int, ...],
    stride: int,
    wraps: bool,
) -> Recorded | None:
    """A convolution of ONNX, of padded signals; its transpose for steps of one entry."""
    if adjoint:
        if stride > 1 or (wraps and sides != counts):
            return None
        taps, sides, counts = np.flip(taps), counts, sides
        lower = tuple(1 - low - size for low, size in zip(lower, taps.shape, strict=True))
    last = [stride * (c - 1) + low + k for c, low, k in zip(counts, lower, taps.shape, strict=True)]
    before, after = [-low for low in lower], [end - side for end, side in zip(last, sides, strict=True)]
    if wraps and max(*before, *after, 0) > min(sides):
        return None
    image = x.reshape(1, 1, *sides)
    cut = [slice(max(-b, 0), side - max(-a, 0)) for b, a, side in zip(before, after, sides, strict=True)]
    if any(part.start >= part.stop for part in cut):
        return None
    pads = [0, 0, *(max(b, 0) for b in before), 0, 0, *(max(a, 0) for a in after)]
    if wraps and any(min(pair) < 0 for pair in zip(before, after, strict=True)):
        return None
    image = image[(slice(None), slice(None), *cut)]
    shape = (1, 1, *(stop - start for start, stop in zip(lower, last, strict=True)))
    padded = image.derived("Pad", shape, image.integers(*pads), mode="wrap" if wraps else "constant")
    kernel = x.graph.constant(taps[None, None])
    found = padded.derived("Conv", (1, 1, *counts), kernel, strides=[stride] * len(sides))
    return found.reshape(1, -1)


def _bank(x: Recorded, adjoint: bool, core: np.ndarray, structure: Structure) -> Recorded:
    """Convolutions of padded signals, or their transpose: what falls on the border comes back to where it is from."""
    assert structure.bank is not None
    (sides, edge), (*kernel, channels) = structure.bank, core.shape
    pads = [((size - 1) // 2, size // 2) for size in kernel]
    padded = tuple(side + size - 1 for side, size in zip(sides, kernel, strict=True))
    index = np.arange(1, structure.shape[1] + 1).reshape(sides)
    places = np.pad(index, pads, mode=runtime.EDGES[edge]).ravel() - 1  # pyright: ignore[reportCallIssue, reportArgumentType]
    taps = np.moveaxis(core, -1, 0)[:, None]
    if not adjoint:
        signal = x[:, np.maximum(places, 0)] * (places >= 0).astype(np.float32)
        responses = signal.reshape(1, 1, *padded).derived("Conv", (1, channels, *sides), x.graph.constant(taps))
        return responses.reshape(1, -1)
    turned = np.flip(taps, tuple(range(2, taps.ndim))).swapaxes(0, 1)
    ends = [size - 1 for size in kernel]
    full = x.reshape(1, channels, *sides).derived(
        "Conv", (1, 1, *padded), x.graph.constant(turned), pads=[*ends, *ends]
    )
    order = np.argsort(places, kind="stable")
    order = order[places[order] >= 0]
    first = np.searchsorted(places[order], np.arange(structure.shape[1] + 1))
    most = int(np.diff(first).max())  # places that read one entry
    own = first[:-1, None] + np.arange(most)
    exists = own < first[1:, None]
    found = full.reshape(1, -1)[:, order[np.where(exists, own, 0)]] * exists.astype(np.float32)
    return found.sum(-1)


def patterns(x: Recorded, adjoint: bool, sides: tuple[int, ...], size: int, signs: np.ndarray) -> Recorded:
    rows, columns, pixels = sides[0] // size, sides[1] // size, size * size
    S = _unpacked(x.graph, signs, pixels, 8) * np.float32(1 / size)
    if adjoint:
        return _image_of_blocks(x, sides, size, S)
    blocks = x.reshape(1, rows, size, columns, size).swapaxes(2, 3).reshape(1, -1, pixels)
    return (blocks @ S.swapaxes(0, 1)).reshape(1, -1)


def _image_of_blocks(y: Recorded, sides: tuple[int, ...], size: int, rows_of_blocks: Any) -> Recorded:
    rows, columns = sides[0] // size, sides[1] // size
    blocks = y.reshape(1, rows * columns, -1) @ rows_of_blocks
    return blocks.reshape(1, rows, columns, size, size).swapaxes(2, 3).reshape(1, -1)


def estimate_of_patterns(y: Recorded, sides: tuple[int, ...], size: int, estimate: np.ndarray, **_: Any) -> Recorded:
    return _image_of_blocks(y, sides, size, _constant(y, estimate))


def estimate_of_fourier(y: Recorded, sides: tuple[int, ...], kept: np.ndarray, weights: np.ndarray) -> Recorded:
    return fourier(y * weights, True, sides, kept)


def estimate_of_scaled(y: Recorded, operator: Operator, factor: float) -> Recorded:
    return recorded(operator).linear_estimate(y) / np.float32(factor)  # pyright: ignore


ESTIMATES: dict[str, Callable[..., Recorded]] = {
    "fourier": estimate_of_fourier,
    "patterns": estimate_of_patterns,
    "scaled": estimate_of_scaled,
}
PRODUCTS: dict[str, Callable[..., Recorded | None]] = {
    "added": added,
    "composed": composed,
    "correlation": correlation,
    "dct": dct,
    "diagonal": diagonal,
    "floats": floats,
    "fourier": fourier,
    "hadamard": hadamard,
    "patterns": patterns,
    "quantised": quantised,
    "scaled": scaled,
    "subsampling": subsampling,
    "transposed": transposed,
    "wavelet": wavelet,
}
