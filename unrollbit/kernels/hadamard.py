"""The fast Hadamard transform as a JAX primitive, which programs show as one operation."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.interpreters import ad, batching, mlir
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from unrollbit.arrays import as_real, widened
from unrollbit.kernels.primitive import primitive

_FACTOR = 32  # the largest Kronecker factor: small enough to save work, large enough for a good matrix product

hadamard_transform_p = primitive("hadamard_transform")


def hadamard_transform(x: ArrayLike) -> Float[Array, "*batch n"]:
    """``H x`` for ``x`` (..., n), with Sylvester's +-1 matrix of order ``n``, not normalised; ``H H = n I``.

    ``H`` is applied as Kronecker factors of at most 32 rows: small matrix products in place of an ``n x n`` matrix.
    Works under ``jit``, ``vmap`` and ``grad``. Integers become float32; float16 and bfloat16 are computed in float32.

    Raises ``ValueError`` unless ``n`` is a power of two, ``TypeError`` for complex numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> hadamard_transform(jnp.array([1.0, 2.0, 3.0, 4.0])).tolist()
        [10.0, -2.0, -4.0, 0.0]
    """
    x = as_real(x, "hadamard_transform(x)")
    n = x.shape[-1] if x.ndim else 0
    if n < 1 or n & (n - 1):
        raise ValueError(f"hadamard_transform: expected a power of two as the last size, got shape {x.shape}")
    return _transform(x)


@functools.partial(jax.jit, inline=True)  # outside of programs, a call of what is compiled takes the least time
def _transform(x: Array) -> Array:
    return hadamard_transform_p.bind(x)


@hadamard_transform_p.def_abstract_eval
def _shape(x: Any) -> Any:
    return x.update(weak_type=False)


# Linear and symmetric: the derivative and the transpose are the transform itself.
ad.deflinear2(hadamard_transform_p, lambda cotangent, _: [hadamard_transform_p.bind(cotangent)])


def _batch(arguments: tuple[Array], axes: tuple[int]) -> tuple[Array, int]:
    (x,), (axis,) = arguments, axes
    if axis == x.ndim - 1:
        x, axis = jnp.moveaxis(x, axis, 0), 0
    return hadamard_transform_p.bind(x), axis


batching.primitive_batchers[hadamard_transform_p] = _batch


def _by_factors(x: Array) -> Array:
    n, batch, order, dtype = x.shape[-1], x.shape[:-1], 1, x.dtype
    x = widened(x)
    while order < n:  # the last axis takes one factor, then becomes the first: all axes return to their places
        size = min(_FACTOR, n // order)
        x = jnp.matmul(
            x.reshape(*batch, n // size, size), _sylvester(size).astype(x.dtype), precision=lax.Precision.HIGHEST
        )
        x = x.swapaxes(-1, -2)
        order *= size
    return x.reshape(*batch, n).astype(dtype)


mlir.register_lowering(hadamard_transform_p, mlir.lower_fun(_by_factors, multiple_results=False))


@functools.lru_cache(maxsize=8)
def _sylvester(n: int) -> np.ndarray:
    index = np.arange(n)
    return (1 - 2 * (np.bitwise_count(index[:, None] & index) & 1).astype(np.int8)).astype(np.int8)
