"""The structure of a 2-D convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrollbit.operators.band import Band
from unrollbit.operators.structure import DenseCore


@dataclass(frozen=True)
class Stencil(DenseCore):
    """Pixel ``j`` meets pixel ``i`` of an image iff ``row(j) - row(i)`` and ``column(j) - column(i)`` lie in a window.

    Both matrix axes are the pixels of a ``(height, width)`` image, row by row. The window is ``top..bottom`` by
    ``left..right``, modulo the image if ``circular``. The mask is the Kronecker product of two bands.
    """

    height: int
    width: int
    top: int
    bottom: int
    left: int
    right: int
    circular: bool = False

    def __post_init__(self) -> None:
        self._bands()

    def _bands(self) -> tuple[Band, Band]:
        return (
            Band(self.height, self.height, self.top, self.bottom, 1, self.circular),
            Band(self.width, self.width, self.left, self.right, 1, self.circular),
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.height * self.width, self.height * self.width

    @property
    def core_mask(self) -> np.ndarray:
        vertical, horizontal = self._bands()
        return np.kron(vertical.core_mask, horizontal.core_mask)

    @property
    def size(self) -> int:
        vertical, horizontal = self._bands()
        return vertical.size * horizontal.size

    @property
    def T(self) -> Stencil:
        return replace(self, top=-self.bottom, bottom=-self.top, left=-self.right, right=-self.left)

    def gram(self) -> Stencil:
        tall, wide = self.bottom - self.top, self.right - self.left
        return replace(self, top=-tall, bottom=tall, left=-wide, right=wide)

    def to_spec(self) -> dict[str, Any]:
        fields = ("height", "width", "top", "bottom", "left", "right", "circular")
        return {"kind": "Stencil", **{name: getattr(self, name) for name in fields}}
