"""Whether physics is random enough for AMP, measured."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import in_dtype
from unrollbit.operators import LinearOperator
from unrollbit.shrinkage import Shrinkage
from unrollbit.shrinkage.divergence import derivative

LARGEST_EXCESS = 3.0  # dB
_ITERATIONS = 6


def noise_excess_db(
    A: LinearOperator,
    shrinkage: Shrinkage,
    x: Float[Array, "batch n"],
    y: Float[Array, "batch m"],
    iterations: int = _ITERATIONS,
) -> float:
    """By how many dB the error of AMP's ``u = x_k + A^T v_k / a^2`` exceeds the noise level that AMP takes it for,
    ``tau = ||v_k|| / (sqrt(m) a)``; the largest excess of the first iterations, over pairs ``(x, y)`` together.

    AMP shrinks u as if ``u - x`` were white noise of deviation tau. State evolution says that it is, for random physics
    (0 dB) and the Onsager term; orthogonal rows err on the safe side (below 0). Where the entries of ``A^T A`` off the
    diagonal do not average out, a blur's for example, the error is far larger, and AMP diverges. Shrinkages that are
    not separable go without the Onsager term.

    Source: Bayati and Montanari, "The dynamics of message passing on dense graphs", IEEE Trans. Inf. Theory 2011.

    Example:
        >>> from unrollbit.operators import Convolution, gaussian
        >>> from unrollbit.shrinkage import BernoulliGaussian
        >>> values, where = jax.random.split(jax.random.key(0))
        >>> x = jax.random.normal(values, (32, 128)) * (jax.random.uniform(where, (32, 128)) < 0.1)
        >>> A, blur = gaussian(64, 128), Convolution([1 / 7] * 7, 128)
        >>> prior = BernoulliGaussian(noise=1.0)
        >>> noise_excess_db(A, prior, x, A(x)) < 1.0, noise_excess_db(blur, prior, x, blur(x)) > LARGEST_EXCESS
        (True, True)
    """
    scalars = {name: jnp.asarray(spec.initial_values(1)[0], y.dtype) for name, spec in shrinkage.scalars(1.0).items()}
    return float(_excess(A, shrinkage, A.column_rms(), scalars, x, A.accept(y), iterations))


def is_random_like(A: LinearOperator, shrinkage: Shrinkage, x: Array, y: Array) -> bool:
    """Whether AMP's noise level is right to 3 dB for these signals (``noise_excess_db``)."""
    excess = noise_excess_db(A, shrinkage, x, y)
    return math.isfinite(excess) and excess <= LARGEST_EXCESS


@partial(jax.jit, static_argnums=6)
def _excess(
    A: LinearOperator, shrinkage: Shrinkage, column: Array, scalars: Any, x: Array, y: Array, iterations: int
) -> Array:
    (m, n), A = A.shape, in_dtype(A.prepare(), y.dtype)

    def step(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], Array]:
        estimate, v, memory = state
        v = y - A(estimate) + memory * v
        u = estimate + A.T(v) / column**2
        tau = jnp.sqrt(jnp.mean(v * v, -1, keepdims=True)) / column
        slopes = derivative(shrinkage, u, scalars, tau) if shrinkage.separable else jnp.zeros_like(u)
        ratio = jnp.mean((u - x) ** 2) / jnp.mean(tau**2)
        return (shrinkage(u, scalars, tau), v, n / m * jnp.mean(slopes, -1, keepdims=True)), ratio

    start = jnp.zeros_like(x), jnp.zeros_like(y), jnp.zeros((len(x), 1), y.dtype)
    return 10 * jnp.log10(jnp.max(jax.lax.scan(step, start, None, length=iterations)[1]))
