"""Products with transforms, and with the entries that they keep, in ONNX: small matrices on the axes of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unrollbit.export.onnx_graph import Recorded, joined
from unrollbit.packed.runtime import Operator

FACTOR = 32  # rows of a Kronecker factor of a Hadamard matrix


def _kept(x: Recorded, adjoint: bool, kept: np.ndarray, n: int) -> Recorded:
    """Entries of signals, or their transpose: entries among zeros."""
    if np.array_equal(kept, np.arange(n)):
        return x
    if not adjoint:
        return x[:, kept]
    place = np.full(n, len(kept))
    place[kept] = np.arange(len(kept))
    padded = x.derived("Pad", (1, len(kept) + 1), x.integers(0, 0, 0, 1), mode="constant")
    return padded[:, place]


def hadamard(x: Recorded, adjoint: bool, drawn: Callable[[], Any], size: float) -> Recorded:
    kept, signs = drawn()
    n = len(signs)
    image = _kept(x, True, kept, n) if adjoint else x * signs
    order = 1
    while order < n:  # the last axis takes one factor, then becomes the first: all axes return to their places
        factor = min(FACTOR, n // order)
        index = np.arange(factor)
        H = 1 - 2 * (np.bitwise_count(index[:, None] & index) & 1).astype(np.float32)
        image = (image.reshape(1, n // factor, factor) @ H).swapaxes(1, 2)
        order *= factor
    image = image.reshape(1, n)
    return (image * signs if adjoint else _kept(image, False, kept, n)) / size


def subsampling(x: Recorded, adjoint: bool, kept: np.ndarray) -> Recorded | None:
    return None if adjoint else x[:, kept]


def dct(x: Recorded, adjoint: bool, sides: tuple[int, ...], kept: np.ndarray) -> Recorded:
    """Products of images with the matrices of both axes."""
    n = math.prod(sides)
    matrices = [_cosines(side) for side in (1, *sides)[-2:]]
    if adjoint:
        return _on_axes(_kept(x, True, kept, n), [matrix.T for matrix in matrices])
    return _kept(_on_axes(x, matrices), False, kept, n)


def _cosines(side: int) -> np.ndarray:
    t = np.arange(side)
    matrix = np.cos(np.pi * t[:, None] * (2 * t + 1) / (2 * side)) * math.sqrt(2 / side)
    matrix[0] = math.sqrt(1 / side)
    return matrix.astype(np.float32)


def _on_axes(x: Recorded, matrices: list[np.ndarray]) -> Recorded:
    """``down X across^T`` for the images in x."""
    down, across = matrices
    image = x.reshape(1, len(down), len(across)) @ np.ascontiguousarray(across.T)
    return (image if np.array_equal(down, [[1]]) else down @ image).reshape(1, -1)


def fourier(x: Recorded, adjoint: bool, sides: tuple[int, ...], kept: np.ndarray) -> Recorded:
    n, pairs = math.prod(sides), len(kept)
    waves = [np.fft.fft(np.eye(side), norm="ortho") for side in (1, *sides)[-2:]]
    real, imaginary = [wave.real.astype(np.float32) for wave in waves], [wave.imag.astype(np.float32) for wave in waves]

    def parts(image: Recorded) -> tuple[Recorded, Recorded]:
        """Real and imaginary part of the transform of real images."""
        cosines, sines = _on_axes(image, real), _on_axes(image, imaginary)
        mixed = _on_axes(image, [real[0], imaginary[1]]) + _on_axes(image, [imaginary[0], real[1]])
        return cosines - sines, mixed

    if not adjoint:
        return joined([_kept(part, False, kept, n) for part in parts(x)], axis=1)
    first, second = (_kept(x[:, part], True, kept, n) for part in (slice(pairs), slice(pairs, None)))
    return parts(first)[0] + parts(second)[1]


def periodic_inverse(A: Operator) -> Callable[[Recorded, Any], Recorded]:
    """``F^* conj(h) / (|h|^2 + rho max |h|^2) F r`` of a periodic convolution, h the transform of its answer to an
    impulse (``runtime.periodic_inverse``).
    """
    sides = A.made.parts["sides"]  # pyright: ignore[reportOptionalMemberAccess]
    answer = A.apply(np.eye(1, A.shape[1], dtype=np.float32)).astype(np.float64).reshape(sides)
    transfer = np.fft.fftn(answer)
    power = (np.abs(transfer) ** 2).astype(np.float32)
    real, imaginary = transfer.real.astype(np.float32), transfer.imag.astype(np.float32)

    def transformed(x: Recorded, inverse: bool) -> Recorded:
        for axis in range(1, len(sides) + 1):
            axis_of = x.graph.constant(np.array(axis, np.int64))
            x = x.derived("DFT", (1, *sides, 2), "", axis_of, inverse=int(inverse))
        return x

    def inverse(r: Recorded, rho: Any) -> Recorded:
        rho = np.reshape(rho, (1, *(1,) * len(sides)))
        weight = rho * power.max() + power
        spectrum = transformed(r.reshape(1, *sides, 1), False)
        a, b = spectrum[..., 0], spectrum[..., 1]
        parts = ((a * real + b * imaginary) / weight)[..., None], ((b * real - a * imaginary) / weight)[..., None]
        return transformed(joined(list(parts), axis=len(sides) + 1), True)[..., 0].reshape(1, -1)

    return inverse


def wavelet(x: Recorded, adjoint: bool, sides: tuple[int, ...], bank: np.ndarray, levels: int) -> Recorded:
    """Products of images with the matrix of one level, on both axes."""
    plane = len(sides) == 2
    shapes = [tuple(side >> level for side in (1, *sides)[-2:]) for level in range(levels + 1)]
    shapes = [(height if plane else 1, width) for height, width in shapes]

    def matrices(level: int, turned: bool) -> list[np.ndarray]:
        found = [_level(side, bank) if side > 1 or axis else np.eye(1) for axis, side in enumerate(shapes[level])]
        return [matrix.T if turned else matrix for matrix in found]

    if adjoint:
        image, details = x, []
        for level in range(levels):
            (height, width), whole = shapes[level + 1], _on_axes(image, matrices(level, False))
            whole = whole.reshape(1, *shapes[level])
            low, high = slice(0, width), slice(width, None)
            top, bottom = slice(0, height), slice(height, None)
            corners = [(bottom, low), (top, high), (bottom, high)] if plane else [(top, high)]
            details = [*(whole[(slice(None), *corner)].reshape(1, -1) for corner in corners), *details]
            image = whole[:, top, low].reshape(1, -1)
        return joined([image, *details], axis=1)
    at = math.prod(shapes[levels])
    image = x[:, :at]
    for level in reversed(range(levels)):
        shape, size = shapes[level + 1], math.prod(shapes[level + 1])
        ends = [at + k * size for k in range(3 if plane else 1)]
        parts = [part.reshape(1, *shape) for part in (image, *(x[:, end : end + size] for end in ends))]
        if plane:
            left, right = (joined(pair, axis=1) for pair in (parts[:2], parts[2:]))
        else:
            left, right = parts
        whole = joined([left, right], axis=2).reshape(1, -1)
        image, at = _on_axes(whole, matrices(level, True)), ends[-1] + size
    return image


def _level(side: int, bank: np.ndarray) -> np.ndarray:
    """The analysis of one level of a line: low half, then high half."""
    matrix, half, taps = np.zeros((side, side), np.float32), side // 2, bank.shape[1]
    for i in range(half):
        for k in range(taps):
            place = (2 * i + 1 - taps // 2 + k) % side
            matrix[i, place] += bank[0, k]
            matrix[half + i, place] += bank[1, k]
    return matrix
