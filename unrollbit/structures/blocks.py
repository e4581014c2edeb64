"""Independent blocks along the diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.sizes import positive_integers
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full


@dataclass(frozen=True)
class Blocks(Structure):
    """Block diagonal: ``count`` blocks of ``(block_m, block_n)``; the core is ``(count, block_m, block_n)``."""

    count: int
    block_m: int
    block_n: int
    solid: ClassVar[bool] = True

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


def dense_blocks(structure: Structure) -> Full | Blocks:
    """The blocks that hold a structure, without zeros inside: what dense linear algebra on its matrix works on.

    A core of either class is ``(..., m, n)``: decompositions of the last two axes serve both.

    Example:
        >>> dense_blocks(Blocks(2, 3, 4)), dense_blocks(Blocks(1, 3, 4))
        (Blocks(count=2, block_m=3, block_n=4), Full(m=3, n=4))
    """
    (m, n), count = structure.shape, structure.blocks
    return Full(m, n) if count == 1 else Blocks(count, m // count, n // count)
