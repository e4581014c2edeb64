"""Structural non-zeros of a matrix, stored as structure: the mask that the physics dictates.

A learned matrix ``W`` with structure ``M`` is held as its *core*: an array of ``core_shape`` that has room for the
non-zeros only where the structure allows it (blocks), or a full array whose other entries are ignored (band, index
list). Weight formats work on cores and get every mask for free; a structure never costs bits beyond its integers.
"""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

LARGEST_SIDE = 2**26  # measurements, unknowns: an image of 8,192 x 8,192
LARGEST_MATRIX = 2**30  # entries of a matrix or mask that is formed: 32,768 x 32,768
LARGEST_COUNT = 2**16  # blocks that are drawn one by one


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


def positive_integer(name: str, value: int, largest: int = LARGEST_SIDE) -> int:
    """Return ``value`` as an int; raise ``ValueError`` unless it is an integer in ``[1, largest]``.

    The bound keeps what a file declares from allocating memory that nothing in the file stands for.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    if value > largest:
        raise ValueError(f"{name}: expected at most {largest:,}, got {value}")
    return int(value)


def positive_integers(**values: int) -> None:
    """``positive_integer`` for several names."""
    for name, value in values.items():
        positive_integer(name, value)


def times(matrix: Float[Array, "m n"], x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
    """``A x`` as ``(A X^T)^T``: for few vectors XLA on CPU copies the matrix to compute ``X A^T``, 20 times slower."""
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return (matrix @ flat.T).T.reshape(*x.shape[:-1], matrix.shape[0])


def check_entries(what: str, *sides: int) -> None:
    """Raise ``ValueError`` for a matrix, mask or stack of blocks of more entries than may be formed."""
    if math.prod(sides) > LARGEST_MATRIX:
        size = " x ".join(map(str, sides))
        raise ValueError(f"{what}: {size} entries are more than the {LARGEST_MATRIX:,} that are formed in memory")


class DenseCore(Structure):
    """Structures whose core is the ``(m, n)`` matrix itself."""

    @property
    def core_shape(self) -> tuple[int, ...]:
        return self.shape

    def gather(self, dense: Array) -> Array:
        exists = self.core_mask
        return dense if exists is None else dense * exists

    def scatter(self, core: Array) -> Array:
        return self.gather(core)

    def matvec(self, core: Array, x: Array) -> Array:
        return times(core, x)

    def rmatvec(self, core: Array, r: Array) -> Array:
        return r @ core

    def rows(self, v: Array) -> Array:
        return v[..., :, None]

    def columns(self, v: Array) -> Array:
        return v[..., None, :]

    def row_sum(self, core: Array) -> Array:
        return core.sum(-1)

    def column_sum(self, core: Array) -> Array:
        return core.sum(-2)


@dataclass(frozen=True)
class Full(DenseCore):
    """No structural zeros."""

    m: int
    n: int

    def __post_init__(self) -> None:
        positive_integers(m=self.m, n=self.n)

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    @property
    def size(self) -> int:
        return self.m * self.n

    @property
    def T(self) -> Full:
        return Full(self.n, self.m)

    def gram(self) -> Full:
        return Full(self.n, self.n)

    def to_spec(self) -> dict[str, Any]:
        return {"kind": "Full", "m": self.m, "n": self.n}


@dataclass(frozen=True)
class Blocks(Structure):
    """Block diagonal: ``count`` blocks of ``(block_m, block_n)``; the core is ``(count, block_m, block_n)``."""

    count: int
    block_m: int
    block_n: int

    def __post_init__(self) -> None:
        positive_integers(count=self.count, block_m=self.block_m, block_n=self.block_n)

    @property
    def shape(self) -> tuple[int, int]:
        return self.count * self.block_m, self.count * self.block_n

    @property
    def size(self) -> int:
        return self.count * self.block_m * self.block_n

    @property
    def core_shape(self) -> tuple[int, ...]:
        return self.count, self.block_m, self.block_n

    @property
    def blocks(self) -> int:
        return self.count

    def gather(self, dense: Array) -> Array:
        lead = dense.shape[:-2]
        parts = dense.reshape(*lead, self.count, self.block_m, self.count, self.block_n)
        index = np.arange(self.count)
        return jnp.moveaxis(parts[..., index, :, index, :], 0, -3)

    def scatter(self, core: Array) -> Array:
        eye = jnp.eye(self.count, dtype=core.dtype)
        dense = jnp.einsum("...bij,bc->...bicj", core, eye)
        return dense.reshape(*core.shape[:-3], *self.shape)

    def matvec(self, core: Array, x: Array) -> Array:
        parts = x.reshape(*x.shape[:-1], self.count, self.block_n)
        return jnp.einsum("bij,...bj->...bi", core, parts).reshape(*x.shape[:-1], self.shape[0])

    def rmatvec(self, core: Array, r: Array) -> Array:
        parts = r.reshape(*r.shape[:-1], self.count, self.block_m)
        return jnp.einsum("bij,...bi->...bj", core, parts).reshape(*r.shape[:-1], self.shape[1])

    def rows(self, v: Array) -> Array:
        return v.reshape(*v.shape[:-1], self.count, self.block_m, 1)

    def columns(self, v: Array) -> Array:
        return v.reshape(*v.shape[:-1], self.count, 1, self.block_n)

    def row_sum(self, core: Array) -> Array:
        return core.sum(-1).reshape(*core.shape[:-3], self.shape[0])

    def column_sum(self, core: Array) -> Array:
        return core.sum(-2).reshape(*core.shape[:-3], self.shape[1])

    @property
    def T(self) -> Blocks:
        return Blocks(self.count, self.block_n, self.block_m)

    def gram(self) -> Blocks:
        return Blocks(self.count, self.block_n, self.block_n)

    def to_spec(self) -> dict[str, Any]:
        return {"kind": "Blocks", "count": self.count, "block_m": self.block_m, "block_n": self.block_n}
