"""Independent blocks along the diagonal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.dense import same
from unrollbit.operators.norms import Norm
from unrollbit.operators.recipes import Recipe, has_exact_signs, made
from unrollbit.signbits import pack_signs
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.structures.blocks import Blocks
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class BlockDiagonal(LinearOperator):
    """``A = diag(A_1, ..., A_count)`` with blocks of one shape: ``y_b = A_b x_b`` on consecutive pieces of ``x``.

    ``blocks`` is ``(count, block_m, block_n)`` (or a sequence of equal matrices); ``shape`` is ``(count * block_m,
    count * block_n)``. ``recipe`` names the seeded formula that they were made by (``gaussian_blocks``): as long as
    they are what it makes, a file stores no array.

    Raises ``ValueError`` unless the blocks are real, finite, not empty and of one shape.

    Example:
        >>> import jax.numpy as jnp
        >>> A = BlockDiagonal([[[1.0, 2.0]], [[3.0, 4.0]]])
        >>> A.shape, A(jnp.ones(4))
        ((2, 4), Array([3., 7.], dtype=float32))
    """

    blocks: Float[Array, "count block_m block_n"]
    recipe: Recipe | None = field(default=None, metadata={"static": True, "incidental": True})

    def __post_init__(self) -> None:
        set_field(self, "blocks", finite_array("blocks", self.blocks, 3))

    @property
    def shape(self) -> tuple[int, int]:
        return self.mask().shape

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self.mask().matvec(self.blocks, x)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self.mask().rmatvec(self.blocks, y)

    def _computed_norm(self) -> Norm:
        """``max_b ||A_b||``, exact by SVD of each block."""
        return Norm(np.linalg.norm(np.asarray(self.blocks, np.float64), 2, axis=(1, 2)).max(), exact=True)

    def dense(self) -> Float[Array, "m n"]:
        return self.mask().scatter(self.blocks)

    def core(self, structure: Structure) -> Array:
        return self.blocks if structure == self.mask() else super().core(structure)

    @jax.jit
    def column_norms(self) -> Array:
        return self.mask().column_norms(self.blocks)

    def mask(self) -> Blocks:
        count, block_m, block_n = self.blocks.shape
        return Blocks(count, block_m, block_n)

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        exact = has_exact_signs(self._trusted) and structure in (None, self.mask())
        return pack_signs(np.asarray(self.blocks)) if exact else None

    @property
    def _trusted(self) -> Recipe | None:
        """The recipe, if the blocks are those that it makes."""
        recipe = self.recipe
        if recipe is None or not self.derived("made by its recipe", lambda: same(made(recipe, 3), self.blocks)):
            return None
        return recipe

    def to_spec(self) -> Spec:
        if self._trusted is not None:
            return {"kind": "BlockDiagonal", "recipe": list(self._trusted)}
        return {"kind": "BlockDiagonal", "core": np.asarray(self.blocks)}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> BlockDiagonal:
        if "recipe" in given:
            check_fields(cls, given, ("recipe",))
            return blocks_by_recipe(given["recipe"])
        check_fields(cls, given, ("core",))
        return cls(given["core"])


def blocks_by_recipe(recipe: Any) -> BlockDiagonal:
    """The operator of a recipe, which need not be checked again."""
    A = BlockDiagonal(jnp.asarray(made(recipe, 3)), tuple(recipe))
    A.derived("made by its recipe", lambda: True)
    return A
