"""The classic solver: an algorithm run with the physics' own maps and its initial scalars."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm, State
from unrollbit.arrays import as_signal, in_dtype, widened
from unrollbit.operators import LinearOperator


class Solution(NamedTuple):
    """Result of ``solve``: estimate, iterations done, and on request the estimate and objective of each iteration."""

    x: Float[Array, "*batch n"]
    iterations: int
    converged: bool
    iterates: Float[Array, "..."] | None = None
    objective: Float[Array, "..."] | None = None


def solve(
    algorithm: Algorithm,
    problem: Any,
    y: Float[Array, "*batch m"],
    iterations: int = 100,
    tolerance: float = 0.0,
    *,
    iterates: bool = False,
) -> Solution:
    """Run ``algorithm`` on measurements ``y = A x + noise``.

    Args:
        algorithm: for example ``FISTA(regularisation=0.1)``.
        problem: a ``LinearOperator``, or anything with an ``operator`` (a ``Problem``).
        y: measurements, last axis m; leading axes are batch axes. Their dtype (at least float32) is that of the
            computation, and the estimate comes in it.
        iterations: largest number of iterations.
        tolerance: stop once ``||x_{k+1} - x_k|| <= tolerance ||x_{k+1}||`` for every signal, and likewise for the other
            iterated variables (z of FISTA, v of ADMM); 0: never.
        iterates: also return every iterate and, where the algorithm has one, its objective.

    Raises:
        ValueError: wrong length of ``y``, fewer than one iteration, or a negative tolerance.
        TypeError: ``problem`` holds no operator, or ``y`` is no array of real numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.operators import Dense
        >>> A = Dense.of([[1.0, 0.0], [0.0, 2.0]])
        >>> solve(FISTA(regularisation=0.0), A, jnp.array([1.0, 2.0]), 200).x.round(3)
        Array([1., 1.], dtype=float32)
    """
    A = problem if isinstance(problem, LinearOperator) else getattr(problem, "operator", None)
    if not isinstance(A, LinearOperator):
        raise TypeError(f"solve: expected a LinearOperator or a problem that has one, got {type(problem).__name__}")
    measured = as_signal(y, A.shape[0], "solve(y)", "m", complex_physics=A.complex_physics)
    y = widened(measured)
    if iterations < 1:
        raise ValueError(f"iterations: expected at least 1, got {iterations}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected a relative change >= 0, got {tolerance}")
    scalars = {
        name: jnp.asarray(spec.initial_values(iterations), y.dtype) for name, spec in algorithm.scalars(A).items()
    }
    linear_maps = algorithm.maps(A)
    matrices = {name: linear_map.initial for name, linear_map in linear_maps.items()}
    transposed = tuple(name for name, linear_map in linear_maps.items() if linear_map.transposed)
    start = algorithm.constants(A)
    x, done, converged, trail = _run(
        algorithm.stepper(), transposed, iterates, A, matrices, y, scalars, start, tolerance
    )
    objective = algorithm.objective(trail, A.accept(y), A) if iterates else None
    trail = None if trail is None else trail.astype(measured.dtype)
    return Solution(x.astype(measured.dtype), int(done), bool(converged), trail, objective)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _run(
    algorithm: Algorithm,
    transposed: tuple[str, ...],
    iterates: bool,
    A: LinearOperator,
    matrices: dict[str, LinearOperator],
    y: Array,
    scalars: dict[str, Array],
    constants: State,
    tolerance: float,
) -> tuple[Array, Array, Array, Any]:
    A = in_dtype(A.prepare(), y.dtype)
    y = A.accept(y)
    prepared = {name: in_dtype(matrix.prepare(), y.dtype) for name, matrix in matrices.items()}
    maps = {name: matrix.T if name in transposed else matrix for name, matrix in prepared.items()}
    iterations = next(iter(scalars.values())).shape[0]

    def advance(state: State, k: Array | int) -> tuple[State, Array]:
        following = algorithm.step(state, y, A, maps, {name: values[k] for name, values in scalars.items()})
        settled = jnp.asarray(tolerance > 0)
        for name in algorithm.settles:
            new, change = following[name], following[name] - state[name]
            small = jnp.sum(change**2, axis=-1) <= tolerance**2 * jnp.sum(new**2, axis=-1)
            settled = settled & jnp.all(small)
        return following, settled

    def scan_body(carry: tuple[State, Array, Array], k: Array) -> tuple[tuple[State, Array, Array], Any]:
        state, done, count = carry
        following, finished = advance(state, k)
        state = jax.tree.map(lambda new, old: jnp.where(done, old, new), following, state)
        return (state, done | finished, count + ~done), algorithm.read(state)

    start = {**algorithm.init(y, A), **in_dtype(constants, y.dtype)}
    if iterates:
        carry = (start, jnp.asarray(False), jnp.asarray(0, jnp.int32))
        (state, done, count), trail = jax.lax.scan(scan_body, carry, jnp.arange(iterations))
        return algorithm.read(state), count, done, trail

    def unfinished(carry: tuple[State, Array, Array]) -> Array:
        return (carry[1] < iterations) & ~carry[2]

    def while_body(carry: tuple[State, Array, Array]) -> tuple[State, Array, Array]:
        following, finished = advance(carry[0], carry[1])
        return following, carry[1] + 1, finished

    state, count, done = jax.lax.while_loop(
        unfinished, while_body, (start, jnp.asarray(0, jnp.int32), jnp.asarray(False))
    )
    return algorithm.read(state), count, done, None
