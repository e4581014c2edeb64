"""Norms of operators: spectral ones, exact or estimated, and those of columns."""

from __future__ import annotations

import functools
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arrays import norm, over

_AT_A_TIME = 2**22  # entries of the images of unit vectors


class Norm(float):
    """A spectral norm that knows whether it is exact.

    ``Norm(2.0, exact=True)`` behaves as the float 2.0. ``exact`` is False for power-iteration
    estimates, which under-estimate: upper bounds must not be built on them.
    """

    exact: bool

    def __new__(cls, value: float, *, exact: bool) -> Self:
        norm = super().__new__(cls, value)
        norm.exact = exact
        return norm

    def __getnewargs_ex__(self) -> tuple[tuple[float], dict[str, bool]]:
        return (float(self),), {"exact": self.exact}  # copies and pickles are built from these


def power_iteration(operator: Any, iterations: int = 200) -> Norm:
    """Lower estimate of ``||A||`` by power iteration; flagged ``exact=False``.

    Both halves of a step ``u = A v / ||A v||``, ``v = A^T u / ||A^T u||`` are normalised, so that nothing is squared:
    the estimate scales with A, in whatever unit its entries are.
    """
    return Norm(float(_iterated(operator, iterations)), exact=False)


@functools.partial(jax.jit, static_argnums=1)
def _iterated(operator: Any, iterations: int) -> Array:
    start = np.random.RandomState(0).standard_normal(operator.shape[1])
    v = jnp.asarray(start / math.sqrt(float(start @ start)))  # default precision: float64 under jax.enable_x64

    def body(_: int | Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        v, _ = carry
        u, _ = _unit(operator._apply(v))
        return _unit(operator._apply_adjoint(u))

    return jax.lax.fori_loop(0, iterations, body, (v, jnp.zeros((), v.dtype)))[1]


def _unit(x: Array) -> tuple[Array, Array]:
    """``x`` over its length, and the length (0 for the zero vector)."""
    length = norm(x)
    return over(x, length), length


@jax.jit
def column_norms(operator: Any) -> Float[Array, " n"]:
    """The norms of all columns, exact: images of unit vectors, some at a time."""
    m, n = operator.shape
    count = max(1, min(n, _AT_A_TIME // max(m, n)))

    def of_some(first: Array) -> Array:
        units = (first + jnp.arange(count))[:, None] == jnp.arange(n)
        return norm(operator._apply(units.astype(jnp.result_type(float))))

    return jax.lax.map(of_some, jnp.arange(0, n, count)).reshape(-1)[:n]
