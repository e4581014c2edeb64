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
from unrollbit.trits import PerByte, check_trits, pack_trits, unpack_trits
from unrollbit.variables import BinaryParam, MatrixParam, ScaleParam

HALF = np.dtype(ml_dtypes.bfloat16)  # 16 bits with the range of float32: no physical unit over- or underflows
SINGLE = np.dtype(np.float32)
BYTE = np.dtype(np.uint8)
TINY = 2.0**-124  # the smallest scale: rounding keeps it a normal float32, and so are its logarithm and reciprocal


class Stored(abc.ABC):
    """One array of a file, of ``shape`` and ``dtype``, that trains as a ``param``. ``encode`` and ``decode`` go between
    values and the array, ``hold`` from the array to the form in which a loaded network keeps it, ``expand`` from there
    to values, ``raw`` and ``values`` between values and what trains.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    param: type[nnx.Variable]
    weights: int = 0  # matrix entries; none of scales

    @property
    def bits(self) -> int:
        """Bits by formula: no padding."""
        return 8 * self.dtype.itemsize * math.prod(self.shape)

    @property
    def resident_bits(self) -> int:
        """Bits in memory while a loaded network runs."""
        return self.bits

    def raw(self, values: Array) -> Array:
        """Values as they train."""
        return values

    def values(self, raw: Array) -> Array:
        """Inverse of ``raw``."""
        return raw

    def rounded(self, raw: Array) -> Array:
        """What is trained, rounded to what a file holds."""
        return raw

    @abc.abstractmethod
    def encode(self, values: np.ndarray) -> np.ndarray:
        """Values as the array of a file."""

    def decode(self, array: np.ndarray) -> np.ndarray:
        """Values of the array of a file, float32."""
        return np.asarray(self.expand(jnp.asarray(self.hold(array))))

    def check(self, name: str, array: np.ndarray) -> None:  # noqa: B027 - most content cannot be wrong
        """Raise ``ValueError`` for content that is wrong although shape and dtype are right."""

    def hold(self, array: np.ndarray) -> np.ndarray:
        """The array of a file as a loaded network keeps it."""
        return array

    @abc.abstractmethod
    def expand(self, held: Array) -> Array:
        """Values of what a loaded network keeps, float32, inside compiled programs (any leading axes)."""


@dataclass(frozen=True)
class Entries(Stored):
    """Matrices of 32-bit floats: cores; with an irregular mask, the existing entries of each matrix in one row (masked
    entries are never stored), while a loaded network keeps whole cores. ``lead``: leading axes, of copies and planes;
    ``per_item``: weights in an item of the array.
    """

    lead: tuple[int, ...]
    structure: Structure
    dtype: np.dtype[Any] = SINGLE
    param: type[nnx.Variable] = MatrixParam
    per_item: int = 1

    def pack(self, values: np.ndarray) -> np.ndarray:
        """Rows of values as array items."""
        return np.asarray(values, np.float32)

    def unpack(self, items: Array, n: int) -> Array:
        """Inverse of ``pack``, for rows of n weights."""
        return items

    def _items(self, rows: tuple[int, ...]) -> tuple[int, ...]:
        return (*self.lead, *rows[:-1], -(-rows[-1] // self.per_item))

    @property
    def shape(self) -> tuple[int, ...]:
        return self._items(self.structure.entries_shape)

    @property
    def weights(self) -> int:
        return math.prod(self.lead) * self.structure.size

    @property
    def bits(self) -> int:
        """Rounded up to a whole bit."""
        return -(-8 * self.dtype.itemsize * self.weights // self.per_item)

    @property
    def resident_bits(self) -> int:
        return 8 * self.dtype.itemsize * math.prod(self._items(self.structure.core_shape))

    def encode(self, values: np.ndarray) -> np.ndarray:
        return self.pack(self.structure.entries(values))

    def decode(self, array: np.ndarray) -> np.ndarray:
        """As cores; entries that do not exist are 0."""
        structure = self.structure
        return structure.with_entries(np.asarray(self.unpack(jnp.asarray(array), structure.entries_shape[-1])))

    def hold(self, array: np.ndarray) -> np.ndarray:
        return array if self.structure.core_mask is None else self.pack(self.decode(array))

    def expand(self, held: Array) -> Array:
        values, exists = self.unpack(held, self.structure.core_shape[-1]), self.structure.core_mask
        return values if exists is None else values * exists


@dataclass(frozen=True)
class Signs(Entries):
    """Signs at one bit (``unrollbit.signbits``); values are latents, whose signs count: ``sign(0) = +1``."""

    dtype: np.dtype[Any] = BYTE
    param: type[nnx.Variable] = BinaryParam
    per_item: int = 8

    def pack(self, values: np.ndarray) -> np.ndarray:
        return pack_signs(values)

    def unpack(self, items: Array, n: int) -> Array:
        return unpack_signs(items, n)

    def check(self, name: str, array: np.ndarray) -> None:
        """Padding must be zero: one network, one file, and products may read whole bytes."""
        used = self.structure.entries_shape[-1] % 8
        if used and (array[..., -1] >> used).any():
            raise ValueError(f"array {name!r}: the padding after a row of signs is not zero")


@dataclass(frozen=True)
class Trits(Signs):
    """Weights in {-1, 0, 1} at 1.6 bits (five a byte) or 2 (four a byte); see ``unrollbit.trits``.

    A loaded network keeps two sign planes, whose mean they are: products run by the kernels of signs. A zero is +1 in
    the first plane and -1 in the second; entries that do not exist are zeros.
    """

    per_item: PerByte = 5

    @property
    def resident_bits(self) -> int:
        return Signs((*self.lead, 2), self.structure).resident_bits

    def check(self, name: str, array: np.ndarray) -> None:
        try:
            check_trits(array, self.structure.entries_shape[-1], self.per_item)
        except ValueError as error:
            raise ValueError(f"array {name!r}: {error}") from error

    def pack(self, values: np.ndarray) -> np.ndarray:
        return pack_trits(values, self.per_item)

    def unpack(self, items: Array, n: int) -> Array:
        return unpack_trits(items, n, self.per_item)

    def hold(self, array: np.ndarray) -> np.ndarray:
        values = self.decode(array)
        return pack_signs(np.stack([values, values - 0.5], -1 - len(self.structure.core_shape)))

    def expand(self, held: Array) -> Array:
        *rows, last = self.structure.core_shape
        return unpack_signs(held, last).mean(-2 - len(rows))


@dataclass(frozen=True)
class Floats(Stored):
    """Scales, or their logarithms, of a stored dtype. ``positive`` ones must be, and train as logarithms; none may
    exceed ``largest``. ``param``: ``Statistic`` for what takes part in training without a gradient.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any] = SINGLE
    positive: bool = False
    largest: float = math.inf
    param: type[nnx.Variable] = ScaleParam

    @functools.partial(jax.jit, static_argnums=0)
    def raw(self, values: Array) -> Array:
        return jnp.log(jnp.maximum(values, TINY)) if self.positive else values

    def values(self, raw: Array) -> Array:
        return jnp.exp(raw) if self.positive else raw

    @functools.partial(jax.jit, static_argnums=0)
    def rounded(self, raw: Array) -> Array:
        if self.dtype == SINGLE:
            return raw
        return self.raw(self.values(raw).astype(self.dtype).astype(jnp.float32))

    def encode(self, values: np.ndarray) -> np.ndarray:
        return np.asarray(values, np.float32).astype(self.dtype)

    def check(self, name: str, array: np.ndarray) -> None:
        values = array.astype(np.float32)
        if (values > self.largest).any():
            raise ValueError(f"array {name!r}: {values.max()} is too large for a float32 scale")
        if self.positive and not (values > 0).all():
            raise ValueError(f"array {name!r}: expected scales > 0, got {values.min()}")

    def expand(self, held: Array) -> Array:
        return held.astype(jnp.float32)
