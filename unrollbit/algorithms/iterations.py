"""One iteration of an algorithm with all that it depends on, and its fixed point, which differentiates."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm, State, settled
from unrollbit.arrays import in_dtype, norm
from unrollbit.operators import LinearOperator

_Ends = tuple[State, Array, Array]  # the last state, iterations done, whether all signals stand still


class Iteration(NamedTuple):
    """``state -> step(state)`` and what it depends on: a pytree."""

    algorithm: Algorithm
    A: LinearOperator
    maps: dict[str, LinearOperator]
    scalars: dict[str, Array]  # of every iteration
    constants: dict[str, Any]
    y: Float[Array, "*batch m"]

    def prepared(self) -> Iteration:
        """The same, ready to be run many times, in the dtype of the measurement."""
        A = in_dtype(self.A.prepare(), self.y.dtype)
        maps = {name: in_dtype(matrix.prepare(), self.y.dtype) for name, matrix in self.maps.items()}
        return self._replace(A=A, maps=maps, constants=in_dtype(self.constants, self.y.dtype), y=A.accept(self.y))

    def start(self) -> State:
        """The state before the first iteration."""
        return self.algorithm.init(self.y, self.A, self._scalars(0))

    def step(self, state: State, k: Array | int) -> State:
        """Iteration number ``k``."""
        return self.algorithm.step(state, self.y, self.A, self.maps, self._scalars(k))

    def _scalars(self, k: Array | int) -> dict[str, Any]:
        """Scalars of iteration ``k``, and constants."""
        return {name: values[k] for name, values in self.scalars.items()} | self.constants


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def fixed_point(iterations: int, iteration: Iteration, tolerance: Array) -> _Ends:
    """The state at which the steps stand still, or after ``iterations`` of them.

    Its derivative is that of the solution z of ``z = step(z, theta)``, by the implicit function theorem: with the
    cotangent w of z, ``u = w + (d step / d z)^T u`` is iterated like the algorithm itself, and the cotangent of theta
    is ``(d step / d theta)^T u``.

    Source: Bai, Kolter and Koltun, "Deep equilibrium models", NeurIPS 2019, theorem 1.
    """

    def unfinished(carry: _Ends) -> Array:
        return (carry[1] < iterations) & ~carry[2]

    def advance(carry: _Ends) -> _Ends:
        state, count, _ = carry
        following = iteration.step(state, count)
        return following, count + 1, jnp.all(settled(iteration.algorithm, state, following, tolerance))

    return jax.lax.while_loop(unfinished, advance, (iteration.start(), jnp.asarray(0, jnp.int32), jnp.asarray(False)))


def _forward(iterations: int, iteration: Iteration, tolerance: Array) -> tuple[_Ends, Any]:
    state, count, done = fixed_point(iterations, iteration, tolerance)  # pyright: ignore[reportGeneralTypeIssues]
    return (state, count, done), (iteration, state, count, tolerance)


def _backward(iterations: int, held: Any, cotangents: Any) -> tuple[Any, Array]:
    iteration, state, count, tolerance = held
    _, pull = jax.vjp(lambda iteration, state: iteration.step(state, count - 1), iteration, state)
    w = cotangents[0]

    def unfinished(carry: tuple[State, Array, Array]) -> Array:
        return (carry[1] < iterations) & ~carry[2]

    def advance(carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        u, k, _ = carry
        following = jax.tree.map(jnp.add, w, pull(u)[1])
        still = [jnp.all(norm(following[name] - u[name]) <= tolerance * norm(following[name])) for name in u]
        return following, k + 1, jnp.all(jnp.stack(still))

    u, _, _ = jax.lax.while_loop(unfinished, advance, (w, jnp.asarray(0, jnp.int32), jnp.asarray(False)))
    return pull(u)[0], jnp.zeros_like(tolerance)


fixed_point.defvjp(_forward, _backward)
