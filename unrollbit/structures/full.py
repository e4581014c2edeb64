"""Matrices without structural zeros, and what structures share whose core is the whole matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array, Float

from unrollbit.sizes import positive_integers
from unrollbit.structures.base import Structure


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
    solid: ClassVar[bool] = True

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


def times(matrix: Float[Array, "m n"], x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
    """``A x`` as ``(A X^T)^T``: for few vectors XLA on CPU copies the matrix to compute ``X A^T``, 20 times slower."""
    flat = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return (matrix @ flat.T).T.reshape(*x.shape[:-1], matrix.shape[0])
