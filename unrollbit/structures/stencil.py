"""The structure of a 2-D convolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrollbit.arguments import instance
from unrollbit.sizes import check_entries
from unrollbit.structures.band import Band, Indexed
from unrollbit.structures.base import Structure
from unrollbit.structures.full import DenseCore


@dataclass(frozen=True)
class Stencil(DenseCore):
    """Pixel ``(i, k)`` of an image meets pixel ``(j, l)`` of another iff ``vertical`` holds ``(i, j)`` and
    ``horizontal`` holds ``(k, l)``: the Kronecker product of two bands. Images are flattened row by row.
    """

    vertical: Band
    horizontal: Band

    def __post_init__(self) -> None:
        for name, side in (("vertical", self.vertical), ("horizontal", self.horizontal)):
            instance(f"Stencil: {name}", side, Band, "Band(16, 16, 1, 1)")

    @property
    def shape(self) -> tuple[int, int]:
        (rows, others), (columns, across) = self.vertical.shape, self.horizontal.shape
        return rows * columns, others * across

    @property
    def core_mask(self) -> np.ndarray:
        check_entries("Stencil", *self.shape)
        return np.kron(self.vertical.core_mask, self.horizontal.core_mask)

    @property
    def size(self) -> int:
        return self.vertical.size * self.horizontal.size

    @property
    def T(self) -> Stencil:
        return Stencil(self.vertical.T, self.horizontal.T)

    def gram(self) -> Structure:
        vertical, horizontal = self.vertical.gram_band(), self.horizontal.gram_band()
        if vertical is not None and horizontal is not None:
            return Stencil(vertical, horizontal)
        check_entries("Stencil", self.shape[1], self.shape[1])
        masks = (np.asarray(part.gram().core_mask) for part in (self.vertical, self.horizontal))
        return Indexed.from_mask(np.kron(*masks))
