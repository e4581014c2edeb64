"""Ridge regression, the exact data step of splitting methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.operators.inverse import ConjugateGradients, RegularisedInverse
from unrollbit.values import pytree

STEPS = 100  # of conjugate gradients
_SOLVED, _MOST = 1e-14, 2000  # share of the squared residual at which those of a linear estimate end, and their steps


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
        """Nothing is cut short: else these are a hundred steps of conjugate gradients."""
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
    ``A^T A``, until the preconditioned residual of every signal is 1e-7 of that at the start, 2,000 steps at most.

    Source: Golub, Van Loan, "Matrix computations", 2013, section 11.5.
    """

    operator: Any
    diagonal: Float[Array, " n"]

    def __call__(self, r: Float[Array, "*batch m"], rho: Array | float) -> Float[Array, "*batch n"]:
        A, weights = self.operator, 1 / (self.diagonal + rho)

        def unsolved(carry: tuple[Array, ...]) -> Array:
            *_, energy, step = carry
            return jnp.any(energy > enough) & (step < _MOST)

        def body(carry: tuple[Array, ...]) -> tuple[Array, ...]:
            x, left, p, energy, step = carry
            q = A.T(A(p)) + rho * p
            active = energy > enough
            length = jnp.where(active, energy / jnp.where(active, jnp.sum(p * q, -1, keepdims=True), 1), 0)
            x, left = x + length * p, left - length * q
            following = jnp.sum(left * weights * left, -1, keepdims=True)
            turn = jnp.where(active, following / jnp.where(active, energy, 1), 0)
            return x, left, weights * left + turn * p, following, step + 1

        left = A.T(r)
        energy = jnp.sum(left * weights * left, -1, keepdims=True)
        enough = _SOLVED * energy
        start = jnp.zeros_like(left), left, weights * left, energy, jnp.zeros((), jnp.int32)
        return jax.lax.while_loop(unsolved, body, start)[0]


def ridge_of(A: LinearOperator) -> Ridge:
    """That of a physics: by its own inverse where that is exact (``LinearOperator.inverse``), or by blocks of
    ``A A^T`` (``LinearOperator.block_gram``).

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
    inverse, square = A.inverse(), jnp.asarray(float(A.norm()) ** 2)
    return Ridge(inverse if inverse.exact else ConjugateGradients(A.prepare(), square, STEPS), square)
