"""Orthogonal matching pursuit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.arguments import integer, number
from unrollbit.arrays import norm, over
from unrollbit.baselines.base import Compiled, Range
from unrollbit.operators import LinearOperator
from unrollbit.values import pytree

_INDEPENDENT = 1e-5  # of a column's norm: what must be left of it beyond the span of those chosen


@pytree
@dataclass(frozen=True)
class OMP(Compiled):
    """The unknown whose column is most correlated to the residual joins the support, least squares on it, again; until
    ``||y - A x|| <= tolerance ||y||`` or ``nonzeros`` unknowns are chosen.

    Batched: every signal has its own support and stops on its own. The factor R of ``A_S = Q R`` is grown column by
    column (the Cholesky factor of ``A_S^T A_S``), with a second orthogonalisation against rounding. Memory:
    ``nonzeros`` x m numbers a signal.

    Sources: Pati, Rezaiifar and Krishnaprasad 1993; Tropp and Gilbert, IEEE Trans. Inf. Theory 2007.

    Example:
        >>> from unrollbit.operators import Dense
        >>> A = Dense.of([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])
        >>> OMP(nonzeros=1)(A, jnp.array([1.2, 1.6])).round(3)
        Array([0., 0., 2.], dtype=float32)
    """

    name: ClassVar[str] = "omp"
    nonzeros: int = field(metadata={"static": True})
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        integer("nonzeros", self.nonzeros, 1)
        if not isinstance(self.tolerance, jax.Array):
            number("tolerance", self.tolerance, lambda share: share >= 0, "a relative residual >= 0")

    def constants(self, A: LinearOperator) -> Array:
        integer("nonzeros", self.nonzeros, 1, min(A.shape))
        return A.column_norms()

    def estimate(self, A: LinearOperator, constants: Array, y: Array) -> Array:
        (_, n), K = A.shape, self.nonzeros
        batch, goal = y.shape[:-1], self.tolerance * norm(y, keepdims=True)
        columns = jnp.where(constants > 0, constants, 1)

        def unfinished(carry: tuple[Array, ...]) -> Array:
            k, going = carry[0], carry[-1]
            return (k < K) & jnp.any(going)

        def choose(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            k, residual, Q, R, chosen, free, going = carry
            correlation = jnp.abs(A.T(residual)) / columns
            best = jnp.argmax(jnp.where(free, correlation, -1), -1)
            column = A(jax.nn.one_hot(best, n, dtype=y.dtype))
            first = jnp.einsum("...km,...m->...k", Q, column)
            rest = column - jnp.einsum("...km,...k->...m", Q, first)
            second = jnp.einsum("...km,...m->...k", Q, rest)
            rest = rest - jnp.einsum("...km,...k->...m", Q, second)
            length = norm(rest, keepdims=True)
            going = going & (length > _INDEPENDENT * norm(column, keepdims=True))
            q = jnp.where(going, over(rest, length), 0)
            residual = residual - q * jnp.sum(q * residual, -1, keepdims=True)
            row = jnp.where(going, (first + second).at[..., k].set(length[..., 0]), jnp.eye(K, dtype=y.dtype)[k])
            Q, R = Q.at[..., k, :].set(q), R.at[..., k, :].set(row)
            chosen = chosen.at[..., k].set(jnp.where(going[..., 0], best, n))
            free = free & ~jax.nn.one_hot(best, n, dtype=bool)
            return k + 1, residual, Q, R, chosen, free, going & (norm(residual, keepdims=True) > goal)

        Q = jnp.zeros((*batch, K, y.shape[-1]), y.dtype)
        R = jnp.broadcast_to(jnp.eye(K, dtype=y.dtype), (*batch, K, K))  # transposed: row k is column k of R
        free, none = jnp.broadcast_to(constants > 0, (*batch, n)), jnp.full((*batch, K), n)  # n: no unknown
        start = (jnp.asarray(0), y, Q, R, none, free, norm(y, keepdims=True) > goal)
        _, _, Q, R, chosen, _, _ = jax.lax.while_loop(unfinished, choose, start)
        values = jnp.einsum("...km,...m->...k", Q, y)
        coefficients = jax.scipy.linalg.solve_triangular(R, values[..., None], trans="T", lower=True)[..., 0]
        used = jnp.where(chosen < n, coefficients, 0).reshape(-1, K)
        found = jnp.zeros((len(used), n), y.dtype).at[jnp.arange(len(used))[:, None], chosen.reshape(-1, K)].set(used)
        return found.reshape(*batch, n)

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The relative residual at which to stop, from 1e-6 (no noise) to 0.5."""
        return {"tolerance": Range(1e-6, 0.5, 7, (0.0, 1.0))}
