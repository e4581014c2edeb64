"""Ridge regression, the exact data step of splitting methods: prepared once for a physics, for any weight."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.structures import dense_blocks
from unrollbit.values import pytree

_LARGEST_SIDE, _LARGEST_MATRIX = 4096, 2**24  # of what is decomposed: seconds on one core
_RESOLUTION = 1e-7  # squared residual of conjugate gradients relative to the start: that of float32


@dataclass(frozen=True)
class Ridge(abc.ABC):
    """``argmin_x ||r - A x||^2 + rho ||x||^2 = A^T (A A^T + rho I)^{-1} r`` for one A and any ``rho > 0``.

    ``rho`` is a number, or one of each signal ``(*batch, 1)``. ``exact`` says that nothing iterates. The proximal map
    of ``||y - A x||^2 / 2`` with step t is ``v + ridge(A, y - A v, 1 / t)``.
    """

    exact: ClassVar[bool] = True

    @abc.abstractmethod
    def __call__(self, A: LinearOperator, r: Float[Array, "*batch m"], rho: Array | float) -> Float[Array, "*batch n"]:
        """``r``: measurements, or what they lack."""


@pytree
@dataclass(frozen=True)
class TightRidge(Ridge):
    """``A A^T = c I``: a multiple of the adjoint."""

    constant: float

    def __call__(self, A: LinearOperator, r: Array, rho: Array | float) -> Array:
        return A.T(r) / (self.constant + rho)


@pytree
@dataclass(frozen=True)
class SpectralRidge(Ridge):
    """By the eigenvectors of ``A A^T`` or, for tall physics, of ``A^T A``; block by block."""

    vectors: Float[Array, "blocks k k"]
    values: Float[Array, "blocks k"]
    tall: bool = field(metadata={"static": True})

    def __call__(self, A: LinearOperator, r: Array, rho: Array | float) -> Array:
        return self._inverse(A.T(r), rho) if self.tall else A.T(self._inverse(r, rho))

    def _inverse(self, z: Array, rho: Array | float) -> Array:
        blocks, k = self.values.shape
        vectors = self.vectors.astype(z.dtype)
        parts = z.reshape(*z.shape[:-1], blocks, k)
        if jnp.ndim(rho) > 0:
            rho = jnp.asarray(rho)[..., None]
        turned = jnp.einsum("bij,...bi->...bj", vectors, parts) / (self.values.astype(z.dtype) + rho)
        return jnp.einsum("bij,...bj->...bi", vectors, turned).reshape(z.shape)


@pytree
@dataclass(frozen=True)
class IteratedRidge(Ridge):
    """By conjugate gradients, at most ``iterations`` of them: for physics too large to be decomposed."""

    exact: ClassVar[bool] = False
    iterations: int = field(default=100, metadata={"static": True})

    def __call__(self, A: LinearOperator, r: Array, rho: Array | float) -> Array:
        return A.T(conjugate_gradients(lambda z: A(A.T(z)), r, rho, self.iterations))


def ridge_of(A: LinearOperator) -> Ridge:
    """The quickest ridge regression for a physics; what it needs is computed once per physics.

    Tight frames need nothing, small matrices (the shorter side of a block at most 4,096, 2^24 entries) one
    decomposition in float64; others iterate.

    Example:
        >>> from unrollbit.operators import Dense
        >>> A = Dense.of([[2.0, 0.0], [0.0, 1.0]])
        >>> ridge_of(A)(A, jnp.array([4.0, 2.0]), 1.0).round(4)
        Array([1.6, 1. ], dtype=float32)
    """
    constant = A.frame_constant
    if constant is not None:
        return TightRidge(constant)
    gram = A.block_gram
    if gram is not None:
        return A.derived("ridge", lambda: _repeated(gram, A.shape[0] // len(gram)))
    if not decomposable(*A.shape, A.mask().blocks):
        return IteratedRidge()
    return A.derived("ridge", lambda: _decomposed(A))


def decomposable(m: int, n: int, blocks: int = 1) -> bool:
    """Whether matrices of this shape are decomposed."""
    return min(m, n) // blocks <= _LARGEST_SIDE and m * n // blocks <= _LARGEST_MATRIX


def _decomposed(A: LinearOperator) -> SpectralRidge:
    core = np.asarray(A.core(dense_blocks(A.mask())), np.float64)
    core = core.reshape(-1, *core.shape[-2:])
    tall = core.shape[-2] > core.shape[-1]
    transposed = core.swapaxes(-1, -2)
    values, vectors = np.linalg.eigh(transposed @ core if tall else core @ transposed)
    return SpectralRidge(jnp.asarray(vectors), jnp.asarray(np.maximum(values, 0)), tall)


def _repeated(gram: Float[np.ndarray, "k k"], count: int) -> SpectralRidge:
    """Of ``A A^T`` with equal blocks along its diagonal."""
    values, vectors = np.linalg.eigh(gram)
    tiled = (np.broadcast_to(part, (count, *part.shape)) for part in (vectors, np.maximum(values, 0)))
    return SpectralRidge(*map(jnp.asarray, tiled), tall=False)


def conjugate_gradients(
    apply: Callable[[Array], Array], r: Float[Array, "*batch m"], shift: Array | float, iterations: int
) -> Float[Array, "*batch m"]:
    """``(B + shift I)^{-1} r`` of a positive semidefinite ``apply: z -> B z``, every signal with its own step sizes.

    Source: Hestenes and Stiefel, "Methods of conjugate gradients for solving linear systems", J. Res. NBS 1952.
    """

    def inner(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=-1, keepdims=True)

    start = inner(r, r)

    def unfinished(carry: tuple[Array, Array, Array, Array, Array]) -> Array:
        return (carry[0] < iterations) & jnp.any(carry[4] > _RESOLUTION**2 * start)

    def step(carry: tuple[Array, Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array, Array]:
        k, z, rest, direction, square = carry
        image = apply(direction) + shift * direction
        curvature = inner(direction, image)
        length = jnp.where(curvature > 0, square / jnp.where(curvature > 0, curvature, 1), 0)
        z, rest = z + length * direction, rest - length * image
        following = inner(rest, rest)
        ratio = jnp.where(square > 0, following / jnp.where(square > 0, square, 1), 0)
        return k + 1, z, rest, rest + ratio * direction, following

    begin = (jnp.asarray(0), jnp.zeros_like(r), r, r, start)
    return jax.lax.while_loop(unfinished, step, begin)[1]
