"""A matrix held in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.arrays import norm
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import finite_array, set_field
from unrollbit.operators.recipes import Recipe, has_exact_signs, made
from unrollbit.signbits import pack_signs
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.band import Indexed
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full, times
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Dense(LinearOperator):
    """``A`` as an ``(m, n)`` array.

    ``recipe`` names the seeded formula that the matrix was made by (``unrollbit.operators.recipes``): as long as the
    matrix is the one that it makes, a file stores the recipe and no matrix. ``structure`` (or a boolean matrix)
    declares structural zeros; entries there become 0.

    Raises ``ValueError`` unless the matrix is 2-D, real, finite, not empty, and of the shape of its structure.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Dense([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
        >>> A(jnp.ones(3)), A.T(jnp.ones(2))
        (Array([3., 2.], dtype=float32), Array([1., 3., 1.], dtype=float32))
        >>> A
        Dense(matrix=float32[2, 3], recipe=None, structure=None)
    """

    matrix: Float[Array, "m n"]
    recipe: Recipe | None = field(default=None, metadata={"static": True, "incidental": True})
    structure: Structure | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        matrix, structure = finite_array("matrix", self.matrix, 2), self.structure
        if structure is not None:
            structure = structure if isinstance(structure, Structure) else Indexed.from_mask(np.asarray(structure))
            if structure.shape != matrix.shape:
                raise ValueError(f"mask: expected shape {matrix.shape}, got {structure.shape}")
            matrix = structure.scatter(structure.gather(matrix))
        set_field(self, "matrix", matrix)
        set_field(self, "structure", structure)

    @classmethod
    def of(cls, matrix: Any, mask: np.ndarray | Structure | None = None) -> Dense:
        """A user's matrix, and where it has entries."""
        return cls(matrix, structure=mask)  # pyright: ignore[reportArgumentType]

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape[0], self.matrix.shape[1]

    def _apply(self, x: Array) -> Array:
        return times(self.matrix, x)

    def _apply_adjoint(self, y: Array) -> Array:
        return y @ self.matrix

    def dense(self) -> Array:
        return self.matrix

    def column_norms(self) -> Array:
        return norm(self.matrix, axis=0)

    def mask(self) -> Structure:
        return Full(*self.shape) if self.structure is None else self.structure

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        structure = self.mask() if structure is None else structure
        if not has_exact_signs(self._trusted) or structure.core_shape != self.shape:  # blocks, taps: another core
            return None
        return pack_signs(structure.entries(np.asarray(self.matrix)))

    @property
    def _trusted(self) -> Recipe | None:
        """The recipe, if the matrix is the one that it makes."""
        recipe = self.recipe
        if recipe is None or not self.derived("made by its recipe", lambda: same(made(recipe, 2), self.matrix)):
            return None
        return recipe

    def to_spec(self) -> Spec:
        if self._trusted is not None:
            return {"kind": "Dense", "recipe": list(self._trusted)}
        spec: Spec = {"kind": "Dense", "matrix": np.asarray(self.matrix)}
        return spec if self.structure is None else {**spec, "mask": self.structure.to_spec()}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Dense:
        if "recipe" in given:
            check_fields(cls, given, ("recipe",))
            return by_recipe(given["recipe"])
        check_fields(cls, given, ("matrix",), ("mask",))
        return cls.of(given["matrix"], Structure.from_spec(given["mask"]) if "mask" in given else None)


def same(made: np.ndarray, held: Array) -> bool:
    """Whether an array is, entry by entry, the one that a recipe makes."""
    return held.shape == made.shape and bool(np.array_equal(np.asarray(held), made))


def by_recipe(recipe: Any) -> Dense:
    """The operator of a recipe, which need not be checked again."""
    A = Dense(jnp.asarray(made(recipe, 2)), tuple(recipe))
    A.derived("made by its recipe", lambda: True)
    return A
