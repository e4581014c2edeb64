"""What a file holds of a weight format, array by array: its shape, dtype, bits, and how values become bytes."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np

from unrollbit.packed_operators.packed_signs import padded_bits
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.structures import Structure
from unrollbit.trits import PerByte, check_trits, pack_trits, trit_bytes, unpack_trits

HALF = np.dtype(ml_dtypes.bfloat16)  # 16 bits with the range of float32: no physical unit over- or underflows
SINGLE = np.dtype(np.float32)


class Stored(abc.ABC):
    """One array of a file: ``encode`` and ``decode`` between values and bytes; ``hold`` and ``release`` between the
    bytes of a file and the form in which a loaded network keeps them.
    """

    @property
    @abc.abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape in a file."""

    @property
    @abc.abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Dtype in a file."""

    @property
    def weights(self) -> int:
        """Matrix entries (0 for scales)."""
        return 0

    @property
    def weight_bits(self) -> int:
        """Bits of matrix entries by formula: no padding."""
        return 0

    @property
    def scale_bits(self) -> int:
        """Bits of scales."""
        return 0

    @property
    @abc.abstractmethod
    def resident_bits(self) -> int:
        """Bits in memory while a loaded network runs."""

    @abc.abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values as the array of a file."""

    @abc.abstractmethod
    def decode(self, array: np.ndarray) -> np.ndarray:
        """Values of the array of a file, float32."""

    def check(self, name: str, array: np.ndarray) -> None:  # noqa: B027 - most bytes cannot be wrong
        """Raise ``ValueError`` for content that is wrong although shape and dtype are right."""

    def hold(self, array: np.ndarray) -> np.ndarray:
        """The array of a file as a loaded network keeps it."""
        return array

    def release(self, held: np.ndarray) -> np.ndarray:
        """Inverse of ``hold``."""
        return held


@dataclass(frozen=True)
class Digits(Stored):
    """Matrices of small codes: rows of the core as packed bytes; with an irregular mask, the existing entries of each
    matrix in one row (masked entries are never stored), while a loaded network keeps whole rows.

    ``lead``: leading axes, of copies and planes.
    """

    lead: tuple[int, ...]
    structure: Structure

    @abc.abstractmethod
    def row_bytes(self, n: int) -> int:
        """Bytes of a row of n weights."""

    @abc.abstractmethod
    def _pack(self, values: np.ndarray) -> np.ndarray: ...

    @abc.abstractmethod
    def _unpack(self, packed: np.ndarray, n: int) -> np.ndarray: ...

    @property
    def rows(self) -> tuple[int, ...]:
        """Shape of the rows of one matrix in a file."""
        structure = self.structure
        return structure.core_shape if structure.core_mask is None else (structure.size,)

    @property
    def shape(self) -> tuple[int, ...]:
        *rows, last = self.rows
        return (*self.lead, *rows, self.row_bytes(last))

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def weights(self) -> int:
        return math.prod(self.lead) * self.structure.size

    @property
    def resident_bits(self) -> int:
        *rows, last = self.structure.core_shape
        return 8 * math.prod((*self.lead, *rows)) * self.row_bytes(last)

    def encode(self, values: np.ndarray) -> np.ndarray:
        exists = self.structure.core_mask
        return self._pack(values if exists is None else values[..., exists])

    def decode(self, array: np.ndarray) -> np.ndarray:
        """Entries that do not exist are 0."""
        values = self._unpack(array, self.rows[-1])
        exists = self.structure.core_mask
        if exists is None:
            return values
        cores = np.zeros((*self.lead, *self.structure.core_shape), np.float32)
        cores[..., exists] = values
        return cores

    def hold(self, array: np.ndarray) -> np.ndarray:
        return array if self.structure.core_mask is None else self._pack(self.decode(array))

    def release(self, held: np.ndarray) -> np.ndarray:
        if self.structure.core_mask is None:
            return held
        return self.encode(self._unpack(held, self.structure.core_shape[-1]))


@dataclass(frozen=True)
class Signs(Digits):
    """Signs at one bit (``unrollbit.signbits``); values are latents, whose signs count: ``sign(0) = +1``."""

    def row_bytes(self, n: int) -> int:
        return -(-n // 8)

    @property
    def weight_bits(self) -> int:
        return self.weights

    @property
    def resident_bits(self) -> int:
        return math.prod(self.lead) * padded_bits(self.structure)

    def check(self, name: str, array: np.ndarray) -> None:
        """Padding must be zero: one network, one file, and products may read whole bytes."""
        used = self.rows[-1] % 8
        if used and (array[..., -1] >> used).any():
            raise ValueError(f"array {name!r}: the padding after a row of signs is not zero")

    def _pack(self, values: np.ndarray) -> np.ndarray:
        return pack_signs(values)

    def _unpack(self, packed: np.ndarray, n: int) -> np.ndarray:
        return np.array(unpack_signs(jnp.asarray(packed), n))


@dataclass(frozen=True)
class Trits(Digits):
    """Weights in {-1, 0, 1} at 1.6 bits (five a byte) or 2 (four a byte); see ``unrollbit.trits``."""

    per_byte: PerByte = 5

    def row_bytes(self, n: int) -> int:
        return trit_bytes(n, self.per_byte)

    @property
    def weight_bits(self) -> int:
        """``8 / per_byte`` each, rounded up to a whole bit."""
        return -(-8 * self.weights // self.per_byte)

    def check(self, name: str, array: np.ndarray) -> None:
        try:
            check_trits(array, self.rows[-1], self.per_byte)
        except ValueError as error:
            raise ValueError(f"array {name!r}: {error}") from error

    def _pack(self, values: np.ndarray) -> np.ndarray:
        return pack_trits(values, self.per_byte)

    def _unpack(self, packed: np.ndarray, n: int) -> np.ndarray:
        return np.array(unpack_trits(jnp.asarray(packed), n, self.per_byte))


@dataclass(frozen=True)
class Floats(Stored):
    """Scales, or their logarithms, of a stored dtype; ``positive`` ones must be, none may exceed ``largest``."""

    lead: tuple[int, ...]
    kind: np.dtype[Any] = SINGLE
    positive: bool = False
    largest: float = math.inf

    @property
    def shape(self) -> tuple[int, ...]:
        return self.lead

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.kind

    @property
    def scale_bits(self) -> int:
        return 8 * self.kind.itemsize * math.prod(self.lead)

    @property
    def resident_bits(self) -> int:
        return self.scale_bits

    def encode(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float32).astype(self.kind)

    def decode(self, array: np.ndarray) -> np.ndarray:
        return array.astype(np.float32)

    def check(self, name: str, array: np.ndarray) -> None:
        values = array.astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError(f"array {name!r} has NaN or infinite entries")
        if (values > self.largest).any():
            raise ValueError(f"array {name!r}: {values.max()} is too large for a float32 scale")
        if self.positive and not (values > 0).all():
            raise ValueError(f"array {name!r}: expected scales > 0, got {values.min()}")
