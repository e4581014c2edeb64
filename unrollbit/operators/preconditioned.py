"""Preconditioned physics: what an algorithm sees of an ill-conditioned operator."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.sizes import check_entries
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.structures.blocks import Blocks, dense_blocks
from unrollbit.structures.full import Full
from unrollbit.values import Keyed, pytree

_RESOLUTION = 1e-6  # directions weaker than this share of ||A|| are rounding in float32: left out
_LARGEST = 8192  # a dense eigendecomposition beyond this takes minutes and gigabytes


class Origin(Keyed):
    """The recipe of the operator that was preconditioned; compared by content, so that compiled programs are shared."""

    def __init__(self, spec: Spec, fingerprint: list[float]) -> None:
        self.spec = spec
        self._key = json.dumps([f"{value:.6e}" for value in fingerprint])

    @property
    def key(self) -> str:
        return self._key

    def __repr__(self) -> str:
        return f"Origin({self.spec['kind']})"


@pytree
@dataclass(frozen=True)
class Preconditioned(LinearOperator):
    """``P A`` with ``P = c (A A^T + delta ||A||^2 I)^{-1/2}``: singular values of ``A`` made (nearly) equal.

    An algorithm or network for this physics takes measurements ``y`` of ``A`` itself and works on ``P y = P A x + P
    noise`` (see ``accept``). With ``delta = 0``, for measurements without noise, ``P A`` is a tight frame where A has
    full row rank: its matrix of least coherence is a multiple of itself. ``delta`` keeps noise from being amplified in
    weak directions; about (noise power) / (power of the strongest measurement) is sensible. The scale c gives ``P A``
    columns of unit root mean square norm. P and P A are computed from A in float64 (block by block for block-diagonal
    physics), so a file stores nothing for them, but both are held in memory while a network runs.

    Use ``Preconditioned.of(A, delta)``. Sources: Jia, Rohe, "Preconditioning the lasso for sign consistency", 2015
    (the Puffer transformation, delta = 0); Ma, Ping, "Orthogonal AMP", 2017 (its de-correlated linear step).

    Example:
        >>> from unrollbit.operators import ill_conditioned
        >>> A = ill_conditioned(16, 32, condition=100.0)
        >>> PA = Preconditioned.of(A)
        >>> bool(abs(PA.norm() - (32 / 16) ** 0.5) < 1e-4)
        True
    """

    preconditioner: Float[Array, "*blocks p p"]
    entries: Array
    delta: float = field(metadata={"static": True})
    structure: Full | Blocks = field(metadata={"static": True})
    origin: Origin = field(metadata={"static": True})

    def description(self) -> str:
        planes = " of sign planes" if self.origin.spec.get("kind") == "PackedSigns" else ""
        return f"preconditioned{planes} (delta = {self.delta:g}), 32-bit floats"

    @classmethod
    def of(cls, operator: LinearOperator, delta: float = 0.0) -> Preconditioned:
        """Precondition an operator.

        Raises ``ValueError`` for a negative or non-finite ``delta``, an operator that is zero or preconditioned
        already, or more than 8,192 measurements (per block).
        """
        if isinstance(delta, bool) or not isinstance(delta, int | float) or not 0 <= delta < np.inf:
            raise ValueError(f"delta: expected a number >= 0, got {delta!r}")
        if operator.preconditioned:
            raise ValueError("Preconditioned: the operator is preconditioned already; give the physics itself")
        m, n = operator.shape
        check_entries("Preconditioned", m, n)
        structure = dense_blocks(operator.mask())
        if m // structure.blocks > _LARGEST:
            raise ValueError(f"Preconditioned: expected at most {_LARGEST} measurements, got {m // structure.blocks}")
        core = operator.core(structure)
        A = np.asarray(core, np.float64)
        values, vectors = np.linalg.eigh(A @ A.swapaxes(-1, -2))
        largest = values.max()
        if not largest > 0:
            raise ValueError("Preconditioned: expected an operator with non-zero entries")
        kept = values > _RESOLUTION**2 * largest
        shrunk = np.where(kept, 1.0 / np.sqrt(np.where(kept, values + delta * largest, 1.0)), 0.0)
        P = (vectors * shrunk[..., None, :]) @ vectors.swapaxes(-1, -2)
        PA = P @ A
        scale = 1.0 / np.sqrt((PA**2).sum() / n)
        origin = Origin(operator.to_spec(), operator.fingerprint())
        made = cls(jnp.asarray(scale * P, core.dtype), jnp.asarray(scale * PA, core.dtype), delta, structure, origin)
        made.derived("made from its origin", lambda: True)
        return made

    @property
    def shape(self) -> tuple[int, int]:
        return self.structure.shape

    def _apply(self, x: Array) -> Array:
        return self.structure.matvec(self.entries, x)

    def _apply_adjoint(self, y: Array) -> Array:
        return self.structure.rmatvec(self.entries, y)

    def accept(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch m"]:
        """``P y``."""
        return self.structure.T.gram().matvec(self.preconditioner, y)

    @property
    def preconditioned(self) -> bool:
        return True

    @property
    def bare(self) -> Structured:
        return Structured(self.entries, self.structure)

    def dense(self) -> Array:
        return self.structure.scatter(self.entries)

    def mask(self) -> Structure:
        return self.structure

    def core(self, structure: Structure) -> Array:
        return self.entries if structure == self.structure else super().core(structure)

    @jax.jit
    def column_norms(self) -> Array:
        return self.structure.column_norms(self.entries)

    def to_spec(self) -> Spec:
        """That of the operator and delta. Raises ``ValueError`` for arrays that are not made from them."""
        spec = {"kind": "Preconditioned", "operator": self.origin.spec, "delta": self.delta}
        if not self.derived("made from its origin", lambda: LinearOperator.from_spec(spec) == self):
            raise ValueError(
                "Preconditioned: the arrays are not those that the operator and delta give, so no file can describe "
                "them; precondition the operator that is meant"
            )
        return spec

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Preconditioned:
        check_fields(cls, given, ("operator", "delta"))
        return cls.of(LinearOperator.from_spec(given["operator"]), given["delta"])
