"""What a file holds of a weight format, array by array: its shape, dtype, bits, how it trains and becomes bytes."""

from __future__ import annotations

import abc
import functools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import nnx
from jaxtyping import Array

from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.structures import Structure
from unrollbit.trits import PerByte, check_trits, pack_trits, trit_bytes, unpack_trits
from unrollbit.variables import BinaryParam, MatrixParam

HALF = np.dtype(ml_dtypes.bfloat16)  # 16 bits with the range of float32: no physical unit over- or underflows
SINGLE = np.dtype(np.float32)
TINY = 2.0**-124  # the smallest scale: rounding keeps it a normal float32, and so are its logarithm and reciprocal


class Stored(abc.ABC):
    """One array of a file: ``encode`` and ``decode`` between values and the array, ``hold`` and ``release`` between the
    array and the form in which a loaded network keeps it, ``variable`` and ``values`` between values and what trains.
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

    @property
    def as_signs(self) -> Signs | None:
        """This array, if it holds one bit for each sign; else None."""
        return None

    @abc.abstractmethod
    def variable(self, values: Array) -> nnx.Param:
        """What is trained for these values."""

    def values(self, trained: Array) -> Array:
        """The values of what is trained."""
        return trained

    def rounded(self, trained: Array) -> Array:
        """What is trained, rounded to what a file holds."""
        return trained

    @abc.abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values as the array of a file."""

    @abc.abstractmethod
    def decode(self, array: np.ndarray) -> np.ndarray:
        """Values of the array of a file, float32."""

    def check(self, name: str, array: np.ndarray) -> None:  # noqa: B027 - most content cannot be wrong
        """Raise ``ValueError`` for content that is wrong although shape and dtype are right."""

    def hold(self, array: np.ndarray) -> np.ndarray:
        """The array of a file as a loaded network keeps it."""
        return array

    def release(self, held: np.ndarray) -> np.ndarray:
        """Inverse of ``hold``."""
        return held

    @abc.abstractmethod
    def expand(self, held: Array) -> Array:
        """Values of what a loaded network keeps, float32, inside compiled programs (any leading axes)."""


@dataclass(frozen=True)
class Entries(Stored):
    """Matrices of 32-bit floats: cores; with an irregular mask, the existing entries of each matrix in one row (masked
    entries are never stored), while a loaded network keeps whole cores. ``lead``: leading axes, of copies and planes.
    """

    lead: tuple[int, ...]
    structure: Structure

    def row_items(self, n: int) -> int:
        """Array items of a row of n weights."""
        return n

    def pack(self, values: np.ndarray) -> np.ndarray:
        """Rows of values as array items."""
        return np.asarray(values, np.float32)

    def unpack(self, items: Array, n: int) -> Array:
        """Inverse of ``pack``, for rows of n weights."""
        return items

    @property
    def rows(self) -> tuple[int, ...]:
        """Shape of the rows of one matrix in a file."""
        structure = self.structure
        return structure.core_shape if structure.core_mask is None else (structure.size,)

    @property
    def shape(self) -> tuple[int, ...]:
        *rows, last = self.rows
        return (*self.lead, *rows, self.row_items(last))

    @property
    def dtype(self) -> np.dtype[Any]:
        return SINGLE

    @property
    def weights(self) -> int:
        return math.prod(self.lead) * self.structure.size

    @property
    def weight_bits(self) -> int:
        return 32 * self.weights

    @property
    def resident_bits(self) -> int:
        *rows, last = self.structure.core_shape
        return 8 * self.dtype.itemsize * math.prod((*self.lead, *rows)) * self.row_items(last)

    def variable(self, values: Array) -> nnx.Param:
        return MatrixParam(jnp.asarray(values, jnp.float32))

    def encode(self, values: np.ndarray) -> np.ndarray:
        exists = self.structure.core_mask
        return self.pack(values if exists is None else values[..., exists])

    def decode(self, array: np.ndarray) -> np.ndarray:
        """Entries that do not exist are 0."""
        values, exists = np.array(_unpacked(self, array, self.rows[-1])), self.structure.core_mask
        if exists is None:
            return values
        cores = np.zeros((*self.lead, *self.structure.core_shape), np.float32)
        cores[..., exists] = values
        return cores

    def hold(self, array: np.ndarray) -> np.ndarray:
        return array if self.structure.core_mask is None else self.pack(self.decode(array))

    def release(self, held: np.ndarray) -> np.ndarray:
        if self.structure.core_mask is None:
            return held
        return self.encode(np.asarray(_unpacked(self, held, self.structure.core_shape[-1])))

    def expand(self, held: Array) -> Array:
        values, exists = self.unpack(held, self.structure.core_shape[-1]), self.structure.core_mask
        return values if exists is None else values * exists


@functools.partial(jax.jit, static_argnums=(0, 2))
def _unpacked(stored: Entries, items: Array, n: int) -> Array:
    return stored.unpack(items, n)


@dataclass(frozen=True)
class Signs(Entries):
    """Signs at one bit (``unrollbit.signbits``); values are latents, whose signs count: ``sign(0) = +1``."""

    def row_items(self, n: int) -> int:
        return -(-n // 8)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def weight_bits(self) -> int:
        return self.weights

    @property
    def as_signs(self) -> Signs | None:
        return self

    def variable(self, values: Array) -> nnx.Param:
        return BinaryParam(jnp.asarray(values, jnp.float32))

    def check(self, name: str, array: np.ndarray) -> None:
        """Padding must be zero: one network, one file, and products may read whole bytes."""
        used = self.rows[-1] % 8
        if used and (array[..., -1] >> used).any():
            raise ValueError(f"array {name!r}: the padding after a row of signs is not zero")

    def pack(self, values: np.ndarray) -> np.ndarray:
        return pack_signs(values)

    def unpack(self, items: Array, n: int) -> Array:
        return unpack_signs(items, n)


@dataclass(frozen=True)
class Trits(Signs):
    """Weights in {-1, 0, 1} at 1.6 bits (five a byte) or 2 (four a byte); see ``unrollbit.trits``.

    A loaded network keeps two sign planes, whose mean they are: products run by the kernels of signs. A zero is +1 in
    the first plane and -1 in the second; entries that do not exist are zeros.
    """

    per_byte: PerByte = 5

    def row_items(self, n: int) -> int:
        return trit_bytes(n, self.per_byte)

    @property
    def weight_bits(self) -> int:
        """``8 / per_byte`` each, rounded up to a whole bit."""
        return -(-8 * self.weights // self.per_byte)

    @property
    def as_signs(self) -> Signs | None:
        return None

    @property
    def resident_bits(self) -> int:
        return Signs((*self.lead, 2), self.structure).resident_bits

    @property
    def _planes_axis(self) -> int:
        return -1 - len(self.structure.core_shape)

    def check(self, name: str, array: np.ndarray) -> None:
        try:
            check_trits(array, self.rows[-1], self.per_byte)
        except ValueError as error:
            raise ValueError(f"array {name!r}: {error}") from error

    def pack(self, values: np.ndarray) -> np.ndarray:
        return pack_trits(values, self.per_byte)

    def unpack(self, items: Array, n: int) -> Array:
        return unpack_trits(items, n, self.per_byte)

    def hold(self, array: np.ndarray) -> np.ndarray:
        values = self.decode(array)
        return pack_signs(np.stack([values, values - 0.5], self._planes_axis))

    def release(self, held: np.ndarray) -> np.ndarray:
        negative = np.unpackbits(held, axis=-1, count=self.structure.core_shape[-1], bitorder="little")
        return self.encode(1.0 - negative.sum(self._planes_axis))

    def expand(self, held: Array) -> Array:
        return unpack_signs(held, self.structure.core_shape[-1]).mean(self._planes_axis)
