"""Structural non-zeros of a matrix, stored as structure: the mask that the physics dictates.

A learned matrix ``W`` with structure ``M`` is held as its *core*: an array of ``core_shape`` that has room for the
non-zeros only where the structure allows it (blocks), or a full array whose other entries are ignored (band, index
list). Weight formats work on cores and get every mask for free; a structure never costs bits beyond its integers.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from unrollbit.arrays import binary_unit
from unrollbit.specs import Specified
from unrollbit.values import Value


class Structure(Specified, abc.ABC):
    """Where an ``(m, n)`` matrix may be non-zero, and which entries share a weight.

    A subclass is a frozen dataclass of integers, flags and other structures: hashable, without arrays of the matrix's
    size. What it is written as follows from its fields (``unrollbit.specs``).
    """

    checks_types = False
    shape: tuple[int, int]
    shared: ClassVar[bool] = False  # whether several entries of the matrix are one weight
    solid: ClassVar[bool] = False  # whether a core is one matrix, or blocks, without zeros
    entrywise: ClassVar[bool] = False  # whether a core lists entries, and products read them by number (``product_of``)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__repr__" not in cls.__dict__:  # the dataclass decorator's own would print every index
            cls.__repr__ = Value.__repr__  # pyright: ignore[reportAttributeAccessIssue]

    @property
    @abc.abstractmethod
    def size(self) -> int:
        """Number of entries of a core: structural non-zeros that are weights of their own."""

    @property
    def links(self) -> int:
        """Number of structural non-zeros of the matrix; more than ``size`` where several share a weight."""
        return self.size

    @property
    @abc.abstractmethod
    def core_shape(self) -> tuple[int, ...]:
        """Shape of the core array."""

    @abc.abstractmethod
    def gather(self, dense: Array) -> Array:
        """Core of a dense ``(..., m, n)`` matrix."""

    @abc.abstractmethod
    def scatter(self, core: Array) -> Array:
        """Dense ``(..., m, n)`` matrix of a core ``(..., *core_shape)``."""

    @abc.abstractmethod
    def matvec(self, core: Array, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``W x``; entries of the core outside the structure must already be zero."""

    @abc.abstractmethod
    def rmatvec(self, core: Array, r: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """``W^T r``."""

    @abc.abstractmethod
    def rows(self, v: Float[Array, "*lead m"]) -> Array:
        """A per-row vector, shaped so that it multiplies a core ``(*lead, *core_shape)``."""

    @abc.abstractmethod
    def columns(self, v: Float[Array, "*lead n"]) -> Array:
        """A per-column vector, shaped so that it multiplies a core."""

    @abc.abstractmethod
    def row_sum(self, core: Array) -> Float[Array, "*lead m"]:
        """Sum over each row of a core (entries outside the structure are zero)."""

    @abc.abstractmethod
    def column_sum(self, core: Array) -> Float[Array, "*lead n"]:
        """Sum over each column of a core."""

    def column_norms(self, core: Array) -> Float[Array, "*lead n"]:
        """The norm of every column of a core, in whatever unit its entries are."""
        axes = tuple(range(-len(self.core_shape), 0))
        unit = binary_unit(core, axes)
        return jnp.squeeze(unit, axes)[..., None] * jnp.sqrt(self.column_sum(jnp.square(core / unit)))

    @property
    @abc.abstractmethod
    def T(self) -> Structure:
        """Structure of ``W^T``."""

    @abc.abstractmethod
    def gram(self) -> Structure:
        """Structure of ``W^T W``."""

    @property
    def core_mask(self) -> np.ndarray | None:
        """Boolean array of ``core_shape`` with the entries that exist, or None when all do."""
        return None

    @property
    def existing(self) -> Float[Array, "..."]:
        """1 for entries of a core that exist, else 0."""
        exists = self.core_mask
        return jnp.ones(self.core_shape) if exists is None else jnp.asarray(exists, jnp.float32)

    @property
    def entries_shape(self) -> tuple[int, ...]:
        """Shape of the ``entries`` of one core."""
        return self.core_shape if self.core_mask is None else (self.size,)

    def entries(self, cores: np.ndarray) -> np.ndarray:
        """Cores (*lead, *core_shape) as a file holds them: with an irregular mask, what exists of each in one row."""
        exists = self.core_mask
        return cores if exists is None else cores[..., exists]

    def with_entries(self, entries: np.ndarray) -> np.ndarray:
        """Inverse of ``entries``; what does not exist is 0."""
        exists = self.core_mask
        if exists is None:
            return entries
        cores = np.zeros((*entries.shape[:-1], *self.core_shape), entries.dtype)
        cores[..., exists] = entries
        return cores

    @property
    def mask_bits(self) -> int:
        """Bits a file spends on this structure (0 for a few declared integers)."""
        return 0

    @property
    def held_bits(self) -> int:
        """Bits of the indices that products read beside a core (0 where its form says all)."""
        return 0

    def product_of(self, take: Callable[[Array], Array], x: Array, transpose: bool) -> Array:
        """``W x``, or ``W^T x``, where products read entries by number: ``take`` gives those of an array of numbers."""
        del take, x, transpose
        raise TypeError(f"{type(self).__name__}: products read the whole core")

    def of_kernel(self, kernel: Array, grid: Any) -> Array | None:
        """The core of the convolution with ``kernel`` on ``grid`` (``structures.grid.Grid``), where a core is a kernel;
        else None.
        """
        del kernel, grid
        return None

    def dense_mask(self) -> Bool[Array, "m n"]:
        """The mask as a dense boolean matrix (on request only)."""
        return self.scatter(self.existing) > 0

    @property
    def blocks(self) -> int:
        """Number of independent blocks of the physics (1 unless block diagonal)."""
        return 1
