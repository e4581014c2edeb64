"""Products with a low-rank matrix of sign factors and scales that never form the matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.packed_operators.packed_signs import unpack_mask
from unrollbit.specs import Spec
from unrollbit.values import pytree

_TILE = 64  # rows of a masked matrix that exist at a time


@pytree
@dataclass(frozen=True)
class LowRank(LinearOperator):
    """``diag(rows) L diag(middle) R diag(columns)`` with L (m, r) and R (r, n): ``r (m + n)`` multiplications.

    L and R are block diagonal for block-diagonal matrices (r: ranks of all blocks together).
    """

    rows: Float[Array, " m"]
    left: LinearOperator
    middle: Float[Array, " r"]
    right: LinearOperator
    columns: Float[Array, " n"]

    def __post_init__(self) -> None:
        for name in ("rows", "middle", "columns"):
            set_field(self, name, finite_array(name, getattr(self, name), 1))
        parts = (self.rows, self.left, self.middle, self.right, self.columns)
        sizes, (m, r), n = tuple(part.shape for part in parts), self.left.shape, self.right.shape[1]
        if sizes != ((m,), (m, r), (r,), (r, n), (n,)):
            raise ValueError(f"LowRank: shapes {sizes} do not chain")

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    def _apply(self, x: Array) -> Array:
        return self.rows * self.left._apply(self.middle * self.right._apply(self.columns * x))

    def _apply_adjoint(self, y: Array) -> Array:
        return self.columns * self.right._apply_adjoint(self.middle * self.left._apply_adjoint(self.rows * y))

    def dense(self) -> Array:
        outer = self.rows[:, None] * self.left.dense() * self.middle
        return self.right._apply_adjoint(outer) * self.columns

    def prepare(self) -> LinearOperator:
        return LowRank(self.rows, self.left.prepare(), self.middle, self.right.prepare(), self.columns)


@pytree
@dataclass(frozen=True)
class MaskedLowRank(LinearOperator):
    """A sum of ``LowRank`` matrices of packed factors under an irregular mask, formed a few rows at a time.

    A mask couples rows and columns: a product costs as much as with the dense matrix. ``exists``: packed rows (bit 1:
    the entry exists).
    """

    terms: tuple[LowRank, ...]
    exists: UInt8[Array, "m bytes"]

    @property
    def shape(self) -> tuple[int, int]:
        return self.terms[0].shape

    def _tiles(self) -> tuple[tuple[Array, ...], tuple[Array, ...], int]:
        """Per tile of rows: their left factors with all scales but those of the columns, and mask; right factors."""
        m, _ = self.shape
        rows = min(_TILE, max(1, m // 8))
        padding = -m % rows

        def tiled(array: Array) -> Array:
            padded = jnp.pad(array, ((0, padding), *((0, 0),) * (array.ndim - 1)))
            return padded.reshape(-1, rows, *array.shape[1:])

        left = [tiled(term.rows[:, None] * term.left.dense() * term.middle) for term in self.terms]
        right = tuple(term.right.dense() * term.columns for term in self.terms)
        return (*left, tiled(self.exists)), right, padding

    def _core(self, tile: tuple[Array, ...], right: tuple[Array, ...], dtype: jnp.dtype) -> Array:
        *left, exists = tile
        core = sum((L @ R for L, R in zip(left[1:], right[1:], strict=True)), left[0] @ right[0]).astype(dtype)
        return core * unpack_mask(exists, self.shape[1], dtype)

    def _apply(self, x: Array) -> Array:
        tiles, right, _ = self._tiles()
        m, n = self.shape
        flat = x.reshape(-1, n)
        _, out = jax.lax.scan(lambda _, tile: (None, flat @ self._core(tile, right, x.dtype).T), None, tiles)
        return jnp.moveaxis(out, 0, 1).reshape(len(flat), -1)[:, :m].reshape(*x.shape[:-1], m)

    def _apply_adjoint(self, y: Array) -> Array:
        tiles, right, padding = self._tiles()
        m, n = self.shape
        flat = jnp.pad(y.reshape(-1, m), ((0, 0), (0, padding)))
        parts = flat.reshape(len(flat), len(tiles[0]), -1).swapaxes(0, 1)

        def add(total: Array, inputs: tuple[tuple[Array, ...], Array]) -> tuple[Array, None]:
            tile, part = inputs
            return total + part @ self._core(tile, right, y.dtype), None

        out, _ = jax.lax.scan(add, jnp.zeros((len(flat), n), y.dtype), (tiles, parts))
        return out.reshape(*y.shape[:-1], n)

    def to_spec(self) -> Spec:
        raise TypeError("MaskedLowRank is what weights run as; it has no spec of its own")

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> MaskedLowRank:
        raise ValueError("operator MaskedLowRank: files hold weights of the format LittleBit instead")
