"""The classic solver: an algorithm run with the physics' own maps and its initial scalars."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num

from unrollbit.algorithms.base import Algorithm, State, settled
from unrollbit.algorithms.iterations import Iteration, fixed_point
from unrollbit.arguments import instance, integer, number
from unrollbit.arrays import as_signal, widened
from unrollbit.operators.physics import grid_of_unknowns, physics_of
from unrollbit.pytrees import known
from unrollbit.shrinkage import Plugged
from unrollbit.values import one_line


class Solution(NamedTuple):
    """Result of ``solve``: estimate, iterations done, and on request the estimate and objective of each iteration."""

    x: Float[Array, "*batch n"]
    iterations: Int[Array, ""]
    converged: Bool[Array, ""]
    iterates: Float[Array, "..."] | None = None
    objective: Float[Array, "..."] | None = None

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={_brief(value)}" for name, value in self._asdict().items() if value is not None)
        return f"Solution({parts})"


def _brief(value: Array) -> str:
    """A number, or dtype and shape of an array."""
    return str(value) if value.ndim == 0 else one_line(value)


def solve(
    algorithm: Algorithm,
    problem: Any,
    y: Num[Array, "*batch m"],
    iterations: int = 100,
    tolerance: float = 0.0,
    *,
    iterates: bool = False,
    denoiser: Callable[[Any, Any], Any] | None = None,
) -> Solution:
    """Run ``algorithm`` on measurements ``y = A x + noise``.

    Runs under ``jit``, ``vmap`` and ``grad``, with respect to ``y`` and the numbers of the algorithm (its ``float``
    fields, but for rho of ``ADMM``, whose inverse is computed before). A fixed number of iterations is differentiated
    step by step. With a tolerance the result is taken for an isolated fixed point and differentiated implicitly: memory
    does not grow with the iterations, and the derivative is that of the solution as far as it has converged. Nothing is
    compiled again for other numbers of the same shapes.

    Args:
        algorithm: for example ``FISTA(regularisation=0.1)``.
        problem: a ``LinearOperator``, or anything with an ``operator`` (a ``Problem``).
        y: measurements, last axis m; leading axes are batch axes. Their dtype (at least float32) is that of the
            computation, and the estimate comes in it.
        iterations: largest number of iterations.
        tolerance: stop once ``||x_{k+1} - x_k|| <= tolerance ||x_{k+1}||`` for every signal, and likewise for the other
            monitored variables (z of FISTA, v of ADMM); 0: never.
        denoiser: plug-and-play: this function of JAX, ``denoiser(u, sigma)``, in the place of the algorithm's
            shrinkage; ``u`` has the shape of the problem's grid (``signal_shape``) where there is one. Write
            ``replace(algorithm, shrinkage=Plugged(f, on_host=True))`` for a function of NumPy, such as BM3D.
        iterates: also return every iterate and, where the algorithm has one, its objective.

    Raises:
        ValueError: wrong length of ``y``, fewer than one iteration, or a negative tolerance.
        TypeError: ``problem`` holds no operator or a traced one, or ``y`` is no array of real numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.algorithms import FISTA
        >>> from unrollbit.operators import Dense
        >>> A = Dense.of([[1.0, 0.0], [0.0, 2.0]])
        >>> solve(FISTA(regularisation=0.0), A, jnp.array([1.0, 2.0]), 200).x.round(3)
        Array([1., 1.], dtype=float32)
    """
    algorithm = instance("algorithm", algorithm, Algorithm, "FISTA()")
    A = physics_of(problem)
    if denoiser is not None:
        algorithm = replace(algorithm, shrinkage=Plugged(denoiser, grid_of_unknowns(problem)))
    if not known(*jax.tree.leaves(A)):
        raise TypeError(
            "solve: the physics is an argument of a transformed function, but its norm and the maps that an algorithm "
            "starts with are computed before; make it a constant of that function"
        )
    measured = as_signal(y, A.shape[0], "solve(y)", "m", complex_physics=A.complex_physics)
    y = widened(measured)
    iterations = integer("iterations", iterations, 1)
    tolerance = number("tolerance", tolerance, lambda change: change >= 0, "a relative change >= 0")
    iteration = Iteration(
        algorithm,
        A,
        {name: linear_map.initial for name, linear_map in algorithm.maps(A).items()},
        {name: jnp.asarray(spec.initial_values(iterations), y.dtype) for name, spec in algorithm.scalars(A).items()},
        algorithm.constants(A),
        y,
    )
    x, done, converged, trail = _run(iteration, tolerance, iterations, tolerance > 0, iterates)
    objective = algorithm.objective(trail, A.accept(y), A) if iterates else None
    trail = None if trail is None else trail.astype(measured.dtype)
    return Solution(x.astype(measured.dtype), done, converged, trail, objective)


@partial(jax.jit, static_argnums=(2, 3, 4))
def _run(
    iteration: Iteration, tolerance: float, iterations: int, stops: bool, iterates: bool
) -> tuple[Array, Array, Array, Array | None]:
    iteration, read = iteration.prepared(), iteration.algorithm.read
    if stops and not iterates:
        limit = jnp.asarray(tolerance, iteration.y.dtype)
        state, count, done = fixed_point(iterations, iteration, limit)  # pyright: ignore[reportGeneralTypeIssues]
        return read(state), count, done, None

    def body(carry: tuple[State, Array, Array], k: Array) -> tuple[tuple[State, Array, Array], Array | None]:
        state, count, done = carry
        following = iteration.step(state, k)
        if stops:
            finished = jnp.all(settled(iteration.algorithm, state, following, tolerance))
            following = jax.tree.map(lambda new, old: jnp.where(done, old, new), following, state)
            count, done = count + ~done, done | finished
        return (following, count, done), (read(following) if iterates else None)

    count = jnp.asarray(0 if stops else iterations, jnp.int32)
    start = iteration.start(), count, jnp.asarray(False)
    (state, count, done), trail = jax.lax.scan(body, start, jnp.arange(iterations))
    return read(state), count, done, trail
