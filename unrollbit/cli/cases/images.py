"""Data of the cases with images: what a laboratory would measure of its camera, in files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import scipy.sparse

HOLES = 7
_PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "ihc", "moon")
_LARGEST = 192  # pixels a side of a photograph that is written


def coded_aperture(folder: Path, random: np.random.RandomState) -> None:
    """``mask.npy``: 7 x 7 holes, half of them open, as a flat field shows them; its sum is 1."""
    holes = random.permutation(np.arange(HOLES**2) % 2).reshape(HOLES, HOLES)
    seen = np.clip(holes + 0.02 * random.standard_normal(holes.shape), 0, None)
    np.save(folder / "mask.npy", (seen / seen.sum()).astype(np.float32))


def photographs(folder: Path, random: np.random.RandomState) -> None:
    """``kernel.npy`` (3 x 9 taps of a motion), and ``photographs``: PNG and JPEG files of several sizes."""
    from PIL import Image

    from unrollbit.problems.images import load_image

    kernel = np.outer([0.25, 0.5, 0.25], np.hanning(11)[1:-1]) + 0.002 * random.standard_normal((3, 9))
    np.save(folder / "kernel.npy", (kernel / kernel.sum()).astype(np.float32))
    (folder / "photographs").mkdir(exist_ok=True)
    for index, name in enumerate(_PHOTOGRAPHS):
        image = load_image(name)
        height, width = min(_LARGEST, image.shape[0]), min(_LARGEST + 16 * (index % 3), image.shape[1])
        top, left = (random.randint(side - part + 1) for side, part in zip(image.shape, (height, width), strict=True))
        part = np.round(255 * image[top : top + height, left : left + width]).astype(np.uint8)
        ending = "jpg" if index % 2 else "png"
        Image.fromarray(part).save(folder / "photographs" / f"{name}.{ending}", quality=95)


def two_coils(folder: Path, random: np.random.RandomState) -> None:
    """``coils.npy``: complex, (2 x 64, 256), some frequencies of 16 x 16 pixels seen by two coils."""
    side = 16
    rows, columns = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side), indexing="ij")
    transform = np.fft.fft(np.eye(side), norm="ortho")
    distance = np.hypot(*np.meshgrid(*[np.minimum(np.arange(side), side - np.arange(side))] * 2))
    chance = random.uniform(size=side**2) * (1 + distance.ravel()) ** 1.5
    kept = np.sort(np.argsort(chance)[: side**2 // 4])
    fourier = np.kron(transform, transform)[kept]
    coils = []
    for centre in (-1.2, 1.2):
        size = 1 / (0.6 + (columns - centre) ** 2 + 0.3 * rows**2)
        coils.append(fourier * (size * np.exp(1j * (0.5 * rows + centre * columns))).ravel())
    np.save(folder / "coils.npy", np.concatenate(coils).astype(np.complex64))


def tomography(folder: Path, random: np.random.RandomState) -> None:
    """``rays.npz``: the lengths of 12 x 32 rays in the pixels of 32 x 32, sparse; the first angle is random."""
    side, first = 32, random.uniform(0, math.pi)
    steps = np.arange(-side, side, 0.25) + 0.125
    entries: list[np.ndarray] = []
    for ray in range(12 * side):
        angle, offset = first + math.pi * (ray // side) / 12, ray % side - (side - 1) / 2
        x = offset * math.cos(angle) - steps * math.sin(angle) + (side - 1) / 2
        y = offset * math.sin(angle) + steps * math.cos(angle) + (side - 1) / 2
        column, row = np.round(x).astype(int), np.round(y).astype(int)
        inside = (row >= 0) & (row < side) & (column >= 0) & (column < side)
        pixels = row[inside] * side + column[inside]
        entries.append(np.stack([np.full(pixels.size, ray), pixels]))
    index = np.concatenate(entries, 1)
    lengths = np.full(index.shape[1], 0.25 / side)
    matrix = scipy.sparse.coo_array((lengths, tuple(index)), (12 * side, side**2)).tocsr()  # adds what meets
    scipy.sparse.save_npz(folder / "rays.npz", matrix.astype(np.float32))
