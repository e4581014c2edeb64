"""Products with fast transforms and with the entries that they keep, as calls of C functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unrollbit.export.product import Call, Product
from unrollbit.export.tables import literal


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
