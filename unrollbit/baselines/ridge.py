"""Ridge regression, the exact data step of splitting methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.operators.inverse import RegularisedInverse, quotient
from unrollbit.values import pytree

_SOLVED, _MOST = 1e-13, 1000  # share of the squared residual at which those of a linear estimate end, and their steps


class Ridge(NamedTuple):
    """``argmin_x ||r - A x||^2 + rho ||x||^2 = (A^T A + rho I)^{-1} A^T r`` for one A and any ``rho > 0``.

    ``rho`` is a number, or one of each signal ``(*batch, 1)``. The proximal map of ``||y - A x||^2 / 2`` with step t is
    ``v + ridge(y - A v, 1 / t)``. ``square`` is ``||A||^2``, the unit of ``rho`` in ``inverse``.
    """

    inverse: RegularisedInverse
    square: Float[Array, ""]

    def __call__(self, r: Float[Array, "*batch m"], rho: Array | float) -> Float[Array, "*batch n"]:
        return self.inverse(r, jnp.asarray(rho, r.dtype) / self.square)

    @property
    def exact(self) -> bool:
        """Whether it solves its problem to rounding; where not, gradient steps take its place."""
        return self.inverse.exact


@pytree
@dataclass(frozen=True)
class BlocksInverse(RegularisedInverse):
    """``A^T (A A^T + rho ||A||^2 I)^{-1} r`` where ``A A^T`` has equal blocks G on its diagonal and nothing else, by
    the eigenvectors and eigenvalues of G.
    """

    operator: LinearOperator
    vectors: Float[Array, "k k"]
    values: Float[Array, " k"]

    @classmethod
    def of(cls, operator: LinearOperator, gram: Float[np.ndarray, "k k"]) -> BlocksInverse:
        values, vectors = np.linalg.eigh(gram)
        return cls(operator, jnp.asarray(vectors), jnp.asarray(np.maximum(values, 0)))

    def __call__(self, r: Array, rho: Array) -> Array:
        parts = r.reshape(*r.shape[:-1], -1, len(self.values))
        rho = jnp.asarray(rho)[..., None] if jnp.ndim(rho) > 0 else rho
        turned = parts @ self.vectors / (self.values + rho * self.values[-1])
        return self.operator.T((turned @ self.vectors.T).reshape(r.shape))


@pytree
@dataclass(frozen=True)
class ConvergedGradients:
    """``argmin_x ||r - A x||^2 + rho ||x||^2`` by conjugate gradients, preconditioned with ``diagonal``, about that of
    ``A^T A``, until the preconditioned residual of every signal is 3e-7 of that at the start, 1,000 steps at most.

    Every signal is solved in its own unit; one that is not finite stays so, and touches no other.

    Source: Golub, Van Loan, "Matrix computations", 2013, section 11.5.
    """

    operator: Any
    diagonal: Float[Array, " n"]

    def __call__(self, r: Float[Array, "*batch m"], rho: Array | float) -> Float[Array, "*batch n"]:
        A, weights = self.operator, 1 / (self.diagonal + rho)

        def system(x: Array) -> Array:
            return A.T(A(x)) + rho * x

        def unsolved(carry: tuple[Array, ...]) -> Array:
            *_, energy, step = carry
            return jnp.any(energy > _SOLVED) & (step < _MOST)

        def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            x, left, p, energy, step = carry
            q, active = system(p), energy > _SOLVED
            length = quotient(energy, jnp.sum(p * q, -1, keepdims=True), active)
            x, left = x + length * p, left - length * q
            following = jnp.sum(left * weights * left, -1, keepdims=True)
            return x, left, weights * left + quotient(following, energy, active) * p, following, step + 1

        def solve(_: Any, left: Array) -> Array:
            size = jnp.max(jnp.abs(left), -1, keepdims=True)
            left = left / jnp.where(size == 0, 1, size)
            unit = jnp.sqrt(jnp.sum(left * weights * left, -1, keepdims=True))
            left = left / jnp.where(unit == 0, 1, unit)  # its energy is 1
            energy = jnp.sum(left * weights * left, -1, keepdims=True)
            start = jnp.zeros_like(left), left, weights * left, energy, jnp.zeros((), jnp.int32)
            return jax.lax.while_loop(unsolved, body, start)[0] * unit * size

        return jax.lax.custom_linear_solve(system, A.T(r), solve, symmetric=True)


def ridge_of(A: LinearOperator) -> Ridge:
    """That of a physics: by blocks of ``A A^T`` (``LinearOperator.block_gram``) or by its own inverse
    (``LinearOperator.inverse``), which is not ``exact`` for every physics.

    Example:
        >>> from unrollbit.operators import Dense
        >>> x = ridge_of(Dense.of([[2.0, 0.0], [0.0, 1.0]]))(jnp.array([4.0, 2.0]), 1.0)
        >>> bool(jnp.allclose(x, jnp.array([1.6, 1.0])))
        True
    """
    gram = A.block_gram
    if gram is not None:
        inverse = A.derived("ridge", lambda: BlocksInverse.of(A, gram))
        return Ridge(inverse, inverse.values[-1])
    return Ridge(A.inverse(), jnp.asarray(float(A.norm()) ** 2))
