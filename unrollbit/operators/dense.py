"""A matrix held in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Spec, finite_array
from unrollbit.structures.band import Indexed
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full, times


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Dense(LinearOperator):
    """``A`` as an ``(m, n)`` array.

    ``recipe`` names the seeded formula that regenerates the matrix (see ``unrollbit.operators.random``), in which case
    a file stores the recipe and not the matrix. ``structure`` declares structural zeros. Use ``Dense.of`` to check
    the matrix.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Dense.of([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
        >>> A(jnp.ones(3)), A.T(jnp.ones(2))
        (Array([3., 2.], dtype=float32), Array([1., 3., 1.], dtype=float32))
    """

    matrix: Float[Array, "m n"]
    recipe: tuple[Any, ...] | None = field(default=None, metadata={"static": True})
    structure: Structure | None = field(default=None, metadata={"static": True})

    @classmethod
    def of(cls, matrix: Any, mask: np.ndarray | Structure | None = None) -> Dense:
        """Check a user's matrix. Raises ``ValueError`` unless it is 2-D, real, finite and not empty."""
        array = finite_array("matrix", matrix, 2)
        structure = (
            Indexed.from_mask(np.asarray(mask)) if mask is not None and not isinstance(mask, Structure) else mask
        )
        if structure is not None and structure.shape != array.shape:
            raise ValueError(f"mask: expected shape {array.shape}, got {structure.shape}")
        return cls(array if structure is None else structure.scatter(structure.gather(array)), None, structure)

    @property
    def shape(self) -> tuple[int, int]:
        return self.matrix.shape[0], self.matrix.shape[1]

    def _apply(self, x: Array) -> Array:
        return times(self.matrix, x)

    def _apply_adjoint(self, y: Array) -> Array:
        return y @ self.matrix

    def dense(self) -> Array:
        return self.matrix

    def mask(self) -> Structure:
        return Full(*self.shape) if self.structure is None else self.structure

    def to_spec(self) -> Spec:
        if self.recipe is not None:
            return {"kind": "Dense", "recipe": list(self.recipe)}
        spec: Spec = {"kind": "Dense", "matrix": np.asarray(self.matrix)}
        return spec if self.structure is None else {**spec, "mask": self.structure.to_spec()}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        if "recipe" in spec:
            from unrollbit.operators.random import from_recipe

            return from_recipe(spec["recipe"], cls)
        return cls.of(spec["matrix"], Structure.from_spec(spec["mask"]) if "mask" in spec else None)
