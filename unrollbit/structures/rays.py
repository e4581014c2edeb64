"""The structure of computed tomography."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.sizes import LARGEST_SIDE, check_entries, positive_integer
from unrollbit.structures.base import Structure
from unrollbit.structures.full import DenseCore, Full


@dataclass(frozen=True)
class Rays(DenseCore):
    """Ray ``(angle, detector)`` meets a pixel iff the pixel is a corner of a square of pixel centres that it is sampled
    in: the non-zeros of ``Radon``. Declared by a size and angles, so that a file stores no mask.
    """

    size_of_image: int
    angles: tuple[float, ...]
    transposed: bool = False

    def __post_init__(self) -> None:
        positive_integer("size_of_image", self.size_of_image, math.isqrt(LARGEST_SIDE))
        if not isinstance(self.transposed, bool):
            raise ValueError(f"Rays: expected transposed True or False, got {self.transposed!r}")
        numbers = isinstance(self.angles, tuple) and all(type(angle) in (int, float) for angle in self.angles)
        if not (numbers and self.angles and all(math.isfinite(angle) for angle in self.angles)):
            raise ValueError(f"Rays: expected a tuple of finite angles in degrees, got {self.angles!r}")

    @property
    def shape(self) -> tuple[int, int]:
        m, n = len(self.angles) * self.size_of_image, self.size_of_image**2
        return (n, m) if self.transposed else (m, n)

    @property
    def core_mask(self) -> np.ndarray:
        mask = _met(self.size_of_image, self.angles)
        return mask.T if self.transposed else mask

    @property
    def size(self) -> int:
        return int(_met(self.size_of_image, self.angles).sum())

    @property
    def T(self) -> Rays:
        return replace(self, transposed=not self.transposed)

    def gram(self) -> Structure:
        return Full(self.shape[1], self.shape[1])


@functools.lru_cache(maxsize=8)
def _met(size: int, angles: tuple[float, ...]) -> np.ndarray:
    check_entries("Rays", len(angles) * size, size**2)
    mask = np.zeros((len(angles), size, size**2), bool)
    for met, angle in zip(mask, np.deg2rad(angles), strict=True):
        places, weights = bilinear(size, angle, np)
        detector = np.broadcast_to(np.arange(size**2) % size, places.shape)
        found = weights > 1e-6  # what rounds to 0 in float32 coordinates is none
        met[detector[found], places[found]] = True
    mask = mask.reshape(-1, size**2)
    mask.flags.writeable = False
    return mask


def bilinear(size: int, angle: Any, xp: Any = jnp) -> tuple[Any, Any]:
    """The four pixels (flat indices, clipped) and weights (0 outside) that each pixel of the turned image reads.

    Pixel ``(row i, column j)`` reads the place ``(c - sin (j - c) + cos (i - c), c + cos (j - c) + sin (i - c))``.
    """
    c = size // 2
    offset = xp.arange(size) - c
    i, j = offset[:, None], offset[None, :]
    cos, sin = xp.cos(angle), xp.sin(angle)
    row, column = (c + cos * i - sin * j).ravel(), (c + sin * i + cos * j).ravel()
    top, left = xp.floor(row), xp.floor(column)
    places, weights = [], []
    for down in (0, 1):
        for right in (0, 1):
            y, x = top + down, left + right
            weight = (1 - xp.abs(row - y)) * (1 - xp.abs(column - x))
            inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
            flat = xp.clip(y, 0, size - 1).astype(int) * size + xp.clip(x, 0, size - 1).astype(int)
            places.append(flat)
            weights.append(xp.where(inside, weight, 0))
    return xp.stack(places), xp.stack(weights)
