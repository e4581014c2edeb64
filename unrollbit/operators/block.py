"""Independent blocks along the diagonal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Norm, Spec, finite_array
from unrollbit.structures.blocks import Blocks


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BlockDiagonal(LinearOperator):
    """``A = diag(A_1, ..., A_count)`` with blocks of one shape: ``y_b = A_b x_b`` on consecutive pieces of ``x``.

    ``core`` holds the blocks as ``(count, block_m, block_n)``; ``shape`` is ``(count * block_m, count * block_n)``.
    ``recipe`` names the seeded formula that regenerates them (``gaussian_blocks``); then a file stores no array.
    Use ``BlockDiagonal.of`` to check a user's blocks.

    Example:
        >>> import jax.numpy as jnp
        >>> A = BlockDiagonal.of([[[1.0, 2.0]], [[3.0, 4.0]]])
        >>> A.shape, A(jnp.ones(4))
        ((2, 4), Array([3., 7.], dtype=float32))
    """

    core: Float[Array, "count block_m block_n"]
    recipe: tuple[Any, ...] | None = field(default=None, metadata={"static": True})

    @classmethod
    def of(cls, blocks: Any) -> BlockDiagonal:
        """From an array ``(count, block_m, block_n)`` or a sequence of equal matrices.

        Raises ``ValueError`` unless the blocks are real, finite, not empty and of one shape.
        """
        return cls(finite_array("blocks", blocks, 3))

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask().shape

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.mask().matvec(self.core, x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self.mask().rmatvec(self.core, y)

    def norm(self) -> Norm:
        """``max_b ||A_b||``, exact by SVD of each block."""
        return Norm(np.linalg.norm(np.asarray(self.core, np.float64), 2, axis=(1, 2)).max(), exact=True)

    def dense(self) -> Float[Array, "m n"]:
        return self.mask().scatter(self.core)

    def column_rms(self) -> Array:
        return jnp.sqrt(jnp.sum(self.core**2) / self.shape[1])

    def mask(self) -> Blocks:
        count, block_m, block_n = self.core.shape
        return Blocks(count, block_m, block_n)

    def to_spec(self) -> Spec:
        if self.recipe is not None:
            return {"kind": "BlockDiagonal", "recipe": list(self.recipe)}
        return {"kind": "BlockDiagonal", "core": np.asarray(self.core)}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        if "recipe" in spec:
            from unrollbit.operators.random import from_recipe

            return from_recipe(spec["recipe"], cls)
        return cls.of(spec["core"])
