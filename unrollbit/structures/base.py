"""Structural non-zeros of a matrix, stored as structure: the mask that the physics dictates.

A learned matrix ``W`` with structure ``M`` is held as its *core*: an array of ``core_shape`` that has room for the
non-zeros only where the structure allows it (blocks), or a full array whose other entries are ignored (band, index
list). Weight formats work on cores and get every mask for free; a structure never costs bits beyond its integers.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float


class Structure(abc.ABC):
    """Where an ``(m, n)`` matrix may be non-zero. Hashable, holds no arrays of the matrix's size."""

    kinds: ClassVar[dict[str, type[Structure]]] = {}
    shape: tuple[int, int]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Structure.kinds[cls.__name__] = cls

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
    def mask_bits(self) -> int:
        """Bits a file spends on this structure (0 for a few declared integers)."""
        return 0

    @abc.abstractmethod
    def to_spec(self) -> dict[str, Any]:
        """Description ``{"kind": class name, ...}``: JSON values, and NumPy arrays for irregular masks."""

    @staticmethod
    def from_spec(spec: dict[str, Any]) -> Structure:
        """Rebuild from ``to_spec()``; raises ``ValueError`` for anything else."""
        kind = spec.get("kind") if isinstance(spec, dict) else spec
        if not isinstance(kind, str) or kind not in Structure.kinds:
            raise ValueError(f"unknown mask structure {kind!r}; expected one of {sorted(Structure.kinds)}")
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in spec.items() if k != "kind"}
        try:
            return Structure.kinds[kind]._from_fields(**fields)
        except TypeError as error:
            raise ValueError(f"mask structure {kind!r} does not take {sorted(fields)}") from error

    @classmethod
    def _from_fields(cls, **fields: Any) -> Structure:
        return cls(**fields)

    def dense_mask(self) -> Bool[Array, "m n"]:
        """The mask as a dense boolean matrix (on request only)."""
        ones = jnp.ones(self.core_shape)
        exists = self.core_mask
        return self.scatter(ones if exists is None else ones * exists) > 0

    @property
    def blocks(self) -> int:
        """Number of independent blocks of the physics (1 unless block diagonal)."""
        return 1
