"""The pattern of a sparse matrix: few entries at arbitrary places."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from unrollbit.kernels.sparse_product import Indices, product_of, smallest, sparse_product
from unrollbit.sizes import LARGEST_MATRIX, check_entries, positive_integer, positive_integers
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full
from unrollbit.values import Keyed

_FULL = 0.25  # patterns with more entries than this share are no sparse matrices


@dataclass(frozen=True, eq=False)
class Pattern(Keyed, Structure):
    """Entries at arbitrary places, listed row by row: ``counts`` of each row, and their columns ``places``, which
    increase in each row. A core is the vector of the entries: nothing of the size of the matrix is formed.

    Example:
        >>> import numpy as np
        >>> pattern = Pattern.of(np.array([[True, False, False], [True, False, True]]))
        >>> pattern, pattern.size
        (Pattern(2 x 3, 3 entries), 3)
    """

    m: int
    n: int
    counts: Int[np.ndarray, " m"]
    places: Int[np.ndarray, " size"]
    entrywise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        positive_integers(m=self.m, n=self.n)
        counts, places = (_whole(name, getattr(self, name)) for name in ("counts", "places"))
        if counts.shape != (self.m,) or places.ndim != 1 or (counts < 0).any() or counts.sum() != len(places):
            raise ValueError(
                f"Pattern: expected the number of entries of each of {self.m} rows, and as many columns in all; got "
                f"{counts.sum()} in {counts.shape} and {places.shape}"
            )
        positive_integer("Pattern: entries", len(places), LARGEST_MATRIX)
        flat = np.repeat(np.arange(self.m), counts) * self.n + places
        if places.min() < 0 or places.max() >= self.n or (np.diff(flat) <= 0).any():
            raise ValueError(f"Pattern: expected columns in [0, {self.n}) that increase in each row")
        for name, values, largest in (("counts", counts, int(counts.max())), ("places", places, self.n - 1)):
            held = values.astype(smallest(largest))
            held.flags.writeable = False
            object.__setattr__(self, name, held)

    @classmethod
    def of(cls, mask: np.ndarray) -> Pattern:
        """Of a boolean matrix."""
        (m, n), (rows, columns) = np.shape(mask), np.nonzero(mask)
        return cls(m, n, np.bincount(rows, minlength=m), columns)

    @functools.cached_property
    def key(self) -> bytes:
        content = (np.ascontiguousarray(part).tobytes() for part in (self.counts, self.places))
        return hashlib.sha256(b"|".join([f"{self.m}, {self.n}".encode(), *content])).digest()

    def __repr__(self) -> str:
        return f"Pattern({self.m} x {self.n}, {self.size} entries)"

    @functools.cached_property
    def rows_of_entries(self) -> Int[np.ndarray, " size"]:
        """The row of each entry."""
        return np.repeat(np.arange(self.m), self.counts)

    @functools.cached_property
    def indices(self) -> Indices:
        """What products read."""
        return Indices.of(self.m, self.n, self.rows_of_entries, self.places.astype(np.int64))

    @functools.cached_property
    def _held(self) -> Indices:
        with jax.ensure_compile_time_eval():
            return jax.tree.map(jnp.asarray, self.indices)

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    @property
    def size(self) -> int:
        return len(self.places)

    @property
    def core_shape(self) -> tuple[int, ...]:
        return (self.size,)

    def gather(self, dense: Array) -> Array:
        return dense[..., self.rows_of_entries, self.places]

    def scatter(self, core: Array) -> Array:
        check_entries("Pattern", self.m, self.n)
        dense = jnp.zeros((*core.shape[:-1], self.m, self.n), core.dtype)
        return dense.at[..., self.rows_of_entries, self.places].set(core, unique_indices=True)

    def matvec(self, core: Array, x: Array) -> Array:
        return self._product(core, x, False)

    def rmatvec(self, core: Array, r: Array) -> Array:
        return self._product(core, r, True)

    def _product(self, core: Array, x: Array, transpose: bool) -> Array:
        dtype = jnp.result_type(core, x)
        flat = x.reshape(-1, x.shape[-1]).astype(dtype)
        out = sparse_product(core.astype(dtype), flat, self._held, self.indices.sizes, transpose)
        return out.reshape(*x.shape[:-1], out.shape[-1])

    def product_of(self, take: Callable[[Array], Array], x: Array, transpose: bool) -> Array:
        flat = x.reshape(-1, x.shape[-1])
        out = product_of(take, flat, self._held, self.indices.sizes, transpose)
        return out.reshape(*x.shape[:-1], out.shape[-1])

    def rows(self, v: Float[Array, "*lead m"]) -> Array:
        return v[..., self.rows_of_entries]

    def columns(self, v: Float[Array, "*lead n"]) -> Array:
        return v[..., self.places]

    def row_sum(self, core: Array) -> Array:
        return _sums(core, self.rows_of_entries, self.m)

    def column_sum(self, core: Array) -> Array:
        return _sums(core, self.places, self.n)

    @property
    def T(self) -> Pattern:
        order = self.indices.order
        return Pattern(self.n, self.m, np.bincount(self.places, minlength=self.n), self.rows_of_entries[order])

    def gram(self) -> Structure:
        """The pattern of ``W^T W``, or a full matrix where it has many entries."""
        import scipy.sparse

        check_entries("Pattern", self.n, self.n)
        ones, places = np.ones(self.size, np.int32), (self.rows_of_entries, self.places)
        matrix = scipy.sparse.csr_array((ones, places), shape=self.shape)
        found = (matrix.T @ matrix).tocsr()
        if found.nnz > _FULL * self.n**2:
            return Full(self.n, self.n)
        found.sort_indices()
        return Pattern(self.n, self.n, np.diff(found.indptr), found.indices)

    @property
    def mask_bits(self) -> int:
        """Those of a file: the counts of rows and the columns, each in whole bytes."""
        return 8 * (self.counts.nbytes + self.places.nbytes)

    @property
    def held_bits(self) -> int:
        return sum(8 * part.nbytes for part in jax.tree.leaves(self.indices))

    def to_spec(self) -> Spec:
        return {"kind": "Pattern", "m": self.m, "n": self.n, "counts": self.counts, "places": self.places}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Pattern:
        check_fields(cls, given, ("m", "n", "counts", "places"))
        return cls(**given)


def _whole(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"Pattern: expected integers as {name}, got {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


def _sums(core: Array, places: np.ndarray, count: int) -> Array:
    total = jnp.zeros((*core.shape[:-1], count), core.dtype)
    return total.at[..., places].add(core)
