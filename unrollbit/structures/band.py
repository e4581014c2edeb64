"""Bands and arbitrary masks: structures whose core is the whole matrix, with entries that do not exist."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unrollbit.sizes import check_entries, positive_integers
from unrollbit.specs import check_fields
from unrollbit.structures.base import Structure
from unrollbit.structures.full import DenseCore

_FARTHEST = 2**53  # offsets beyond are no diagonals of any matrix


@dataclass(frozen=True)
class Band(DenseCore):
    """Entry ``(i, j)`` exists iff ``lower <= j - stride * i <= upper`` (modulo ``n`` if ``circular``).

    ``transposed`` is the transpose of such a band: ``lower <= i - stride * j <= upper`` (modulo ``m`` if ``circular``).
    """

    m: int
    n: int
    lower: int
    upper: int
    stride: int = 1
    circular: bool = False
    transposed: bool = False

    def __post_init__(self) -> None:
        positive_integers(m=self.m, n=self.n, stride=self.stride)
        if any(isinstance(v, bool) or not isinstance(v, int | np.integer) for v in (self.lower, self.upper)):
            raise ValueError(f"Band: expected integer lower and upper, got {self.lower!r} and {self.upper!r}")
        if max(abs(self.lower), abs(self.upper)) >= _FARTHEST:
            raise ValueError(f"Band: expected |lower|, |upper| < 2^53, got {self.lower} and {self.upper}")
        for name, value in (("circular", self.circular), ("transposed", self.transposed)):
            if not isinstance(value, bool):
                raise ValueError(f"Band: expected {name} True or False, got {value!r}")
        if self.lower > self.upper:
            raise ValueError(f"Band: expected lower <= upper, got lower = {self.lower}, upper = {self.upper}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    @property
    def core_mask(self) -> np.ndarray:
        check_entries("Band", self.m, self.n)
        rows, columns = self._lines
        offset = np.arange(columns)[None, :] - self.stride * np.arange(rows)[:, None]
        if self.circular:
            mask = (offset - self.lower) % columns <= self.upper - self.lower
        else:
            mask = (self.lower <= offset) & (offset <= self.upper)
        return mask.T if self.transposed else mask

    @property
    def _lines(self) -> tuple[int, int]:
        """Rows and columns of the band, before it is transposed."""
        return (self.n, self.m) if self.transposed else (self.m, self.n)

    @property
    def size(self) -> int:
        rows, columns = self._lines
        width = self.upper - self.lower + 1
        if self.circular:
            return rows * min(width, columns)
        first = self.lower + self.stride * np.arange(rows)
        return int(np.maximum(np.minimum(first + width, columns) - np.maximum(first, 0), 0).sum())

    @property
    def T(self) -> Band:
        if self.stride == 1 and not self.transposed and (self.m == self.n or not self.circular):
            return Band(self.n, self.m, -self.upper, -self.lower, 1, self.circular)
        return replace(self, m=self.n, n=self.m, transposed=not self.transposed)

    def gram_band(self) -> Band | None:
        """The band that holds ``W^T W``, or None where rows drift against the period."""
        if self.transposed and self.circular and self.stride * self.n != self.m:
            return None
        width = self.upper - self.lower
        reach = width // self.stride if self.transposed else width
        return Band(self.n, self.n, -reach, reach, 1, self.circular)

    def gram(self) -> Structure:
        """The band that holds ``W^T W`` (a few of its entries may be zero where bands meet the boundary)."""
        band = self.gram_band()
        if band is not None:
            return band
        check_entries("Band", self.n, self.n)
        mask = self.core_mask.astype(np.int64)
        return Indexed.from_mask(mask.T @ mask > 0)


@dataclass(frozen=True)
class Indexed(DenseCore):
    """An arbitrary mask, given by the sorted flat indices (row major) of its non-zeros."""

    m: int
    n: int
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        positive_integers(m=self.m, n=self.n)
        flat = np.asarray(self.indices, np.int64)
        if flat.size and (flat[0] < 0 or flat[-1] >= self.m * self.n or (np.diff(flat) <= 0).any()):
            raise ValueError(f"Indexed: expected strictly increasing indices in [0, {self.m * self.n})")

    @classmethod
    def from_mask(cls, mask: np.ndarray) -> Indexed:
        """From a dense boolean ``(m, n)`` mask."""
        mask = np.asarray(mask)
        if mask.ndim != 2 or mask.dtype != bool:
            raise ValueError(f"mask: expected a 2-D boolean array, got shape {mask.shape} and dtype {mask.dtype}")
        return cls(mask.shape[0], mask.shape[1], tuple(int(i) for i in np.flatnonzero(mask)))

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    @property
    def size(self) -> int:
        return len(self.indices)

    @property
    def core_mask(self) -> np.ndarray:
        check_entries("Indexed", self.m, self.n)
        mask = np.zeros(self.m * self.n, bool)
        mask[list(self.indices)] = True
        return mask.reshape(self.m, self.n)

    @property
    def mask_bits(self) -> int:
        """The cheaper of a bitmap and a list of indices, as in a file."""
        return min(self.m * self.n, self.size * self._index_width)

    @property
    def T(self) -> Indexed:
        return Indexed.from_mask(self.core_mask.T)

    def gram(self) -> Indexed:
        check_entries("Indexed", self.n, self.n)
        mask = self.core_mask.astype(np.int64)
        return Indexed.from_mask(mask.T @ mask > 0)

    def to_spec(self) -> dict[str, Any]:
        """A bitmap (row major) or a list of indices of ``ceil(log2(m n))`` bits each, whichever is shorter, packed."""
        width, flat = self._index_width, np.asarray(self.indices, np.uint64)
        if self.size * width < self.m * self.n:
            bits = (flat[:, None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
            return self._packed_spec("indices", bits.astype(bool))
        return self._packed_spec("bitmap", self.core_mask)

    def _packed_spec(self, form: str, bits: np.ndarray) -> dict[str, Any]:
        packed = np.packbits(bits.ravel(), bitorder="little")
        return {"kind": "Indexed", "m": self.m, "n": self.n, "size": self.size, form: packed}

    @property
    def _index_width(self) -> int:
        return max(1, (self.m * self.n - 1).bit_length())

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Indexed:
        check_fields(cls, given, ("m", "n", "size"), ("indices", "bitmap"))
        m, n, size, indices, bitmap = given["m"], given["n"], given["size"], given.get("indices"), given.get("bitmap")
        positive_integers(m=m, n=n)
        check_entries("Indexed", m, n)
        if (indices is None) == (bitmap is None) or type(size) is not int or not 0 <= size <= m * n:
            raise ValueError(f"Indexed: expected a bitmap or indices, and how many of {m * n} exist; got {size!r}")
        width = max(1, (m * n - 1).bit_length())
        form, count = (indices, size * width) if bitmap is None else (bitmap, m * n)
        packed = np.asarray(form)
        if packed.dtype != np.uint8 or packed.shape != (-(-count // 8),):
            raise ValueError(f"Indexed: expected {-(-count // 8)} bytes of mask, got {packed.dtype} {packed.shape}")
        bits = np.unpackbits(packed, count=count, bitorder="little")
        if bitmap is None:
            powers = np.left_shift(np.uint64(1), np.arange(width, dtype=np.uint64))
            flat = (bits.reshape(size, width).astype(np.uint64) * powers).sum(1)
        else:
            flat = np.flatnonzero(bits)
        if len(flat) != size:
            raise ValueError(f"Indexed: expected {size} entries in the mask, got {len(flat)}")
        return cls(m, n, tuple(int(i) for i in flat))
