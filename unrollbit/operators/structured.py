"""Matrices given by a core and its structure, and diagonal matrices: what weight formats produce."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Spec, finite_array
from unrollbit.structures.base import Structure


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Structured(LinearOperator):
    """A matrix as the core of a ``Structure`` (entries outside the structure are zero in the core)."""

    core: Array
    structure: Structure = field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        return self.structure.shape

    def _apply(self, x: Array) -> Array:
        return self.structure.matvec(self.core, x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.structure.rmatvec(self.core, y)

    def dense(self) -> Array:
        return self.structure.scatter(self.core)

    def mask(self) -> Structure:
        return self.structure

    def to_spec(self) -> Spec:
        return {"kind": "Structured", "core": np.asarray(self.core), "structure": self.structure.to_spec()}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        structure = Structure.from_spec(spec["structure"])
        core = finite_array("core", spec["core"], len(structure.core_shape))
        if core.shape != structure.core_shape:
            raise ValueError(f"operator Structured: expected a core of shape {structure.core_shape}, got {core.shape}")
        return cls(core, structure)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Diagonal(LinearOperator):
    """``diag(d)``."""

    diagonal: Float[Array, " n"]

    @property
    def shape(self) -> tuple[int, int]:
        return self.diagonal.shape[-1], self.diagonal.shape[-1]

    def _apply(self, x: Array) -> Array:
        return self.diagonal * x

    def _apply_adjoint(self, y: Array) -> Array:
        return self.diagonal * y

    def to_spec(self) -> Spec:
        return {"kind": "Diagonal", "diagonal": np.asarray(self.diagonal)}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls(finite_array("diagonal", spec["diagonal"], 1))


def column_products(W: LinearOperator, A: Float[Array, "m n"]) -> Float[Array, " n"]:
    """``diag(W^T A)``: ``w_j^T a_j`` per column; ``A`` as the core of W's structure (dense if W has none)."""
    if isinstance(W, Structured):
        return W.structure.column_sum(W.core * A)
    return jnp.sum(W.dense() * A, axis=0)
