"""Classic solvers as baselines: their best parameters, chosen on validation signals, and BIHT for signs."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.admm import ADMM
from unrollbit.algorithms.ista import Proximal
from unrollbit.algorithms.solve import solve
from unrollbit.arrays import norm
from unrollbit.metrics import nmse_db
from unrollbit.operators import LinearOperator


class Tuned(NamedTuple):
    """A solver with its best weight, and the NMSE (ratio, dB) of every weight tried."""

    algorithm: Proximal
    weights: list[float]
    nmse_db: list[float]


def tune_regularisation(
    algorithm: Proximal,
    operator: LinearOperator,
    x: Float[Array, "batch n"],
    y: Float[Array, "batch m"],
    iterations: int,
    *,
    weights: int = 9,
    tolerance: float = 0.0,
) -> Tuned:
    """The weight lambda with the lowest NMSE after ``iterations`` on validation pairs ``(x, y)``.

    Tries ``weights`` values, geometric from 1e-4 to 0.5 of the mean of ``max |A^T y|`` (at the latter most signals
    are 0). A best value at an end of the range extends it, up to four times.

    Raises ``ValueError`` for fewer than 3 weights.
    """
    if weights < 3:
        raise ValueError(f"weights: expected at least 3 values to choose from, got {weights}")
    largest = float(jnp.mean(jnp.max(jnp.abs(operator.T(y)), axis=-1)))
    ratio = (0.5 / 1e-4) ** (1.0 / (weights - 1))
    tried: dict[float, float] = {}

    def score(weight: float) -> None:
        candidate = dataclasses.replace(algorithm, regularisation=weight)
        tried[weight] = float(nmse_db(solve(candidate, operator, y, iterations, tolerance).x, x))

    for weight in np.geomspace(1e-4, 0.5, weights) * largest:
        score(float(weight))
    for _ in range(4):
        best, order = min(tried, key=lambda w: tried[w]), sorted(tried)
        if best not in (order[0], order[-1]):
            break
        score(best / ratio if best == order[0] else best * ratio)
    best = min(tried, key=lambda w: tried[w])
    order = sorted(tried)
    return Tuned(dataclasses.replace(algorithm, regularisation=best), order, [tried[w] for w in order])


def tune_penalty(
    algorithm: ADMM,
    operator: LinearOperator,
    x: Float[Array, "batch n"],
    y: Float[Array, "batch m"],
    iterations: int,
    *,
    weights: int = 9,
    penalties: int = 5,
) -> Tuned:
    """ADMM with the penalty parameter rho and the weight lambda of the lowest NMSE on validation pairs ``(x, y)``.

    Tries ``penalties`` values of rho, geometric from 1e-4 to 1 of ``||A||^2``, each with its best weight (see
    ``tune_regularisation``). rho changes nothing that ADMM converges to, but much after few iterations. The weights
    and figures returned are those of the best rho.

    Raises ``ValueError`` for fewer than 3 weights, or no penalty.
    """
    if penalties < 1:
        raise ValueError(f"penalties: expected at least 1 value to choose from, got {penalties}")
    square = float(operator.norm()) ** 2
    tried = [
        tune_regularisation(dataclasses.replace(algorithm, rho=float(rho)), operator, x, y, iterations, weights=weights)
        for rho in np.geomspace(1e-4, 1.0, penalties) * square
    ]
    return min(tried, key=lambda tuned: min(tuned.nmse_db))


def biht(
    operator: LinearOperator, y: Float[Array, "batch m"], nonzeros: int, iterations: int = 500
) -> Float[Array, "batch n"]:
    """Signals of unit norm from the signs of ``y``: binary iterative hard thresholding.

    ``x <- H_k(x + A^T (sign(y) - sign(A x)) / (2 sqrt(m) c))`` from 0, where ``c = ||A||_F / sqrt(n)`` is the norm of
    a column and ``H_k`` keeps the ``nonzeros`` entries of largest magnitude. Of all iterates the one with the fewest
    signs that disagree is taken.
    Source: Jacques, Laska, Boufounos and Baraniuk, IEEE Trans. Inf. Theory 2013, section V.

    Raises ``ValueError`` for a number of non-zeros outside 1 ... n.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(400, 16, seed=0)
        >>> x = jnp.zeros((1, 16)).at[0, 3].set(-1.0)
        >>> bool(jnp.allclose(biht(A, A(x), nonzeros=1), x))
        True
    """
    m, n = operator.shape
    if isinstance(nonzeros, bool) or not isinstance(nonzeros, int) or not 1 <= nonzeros <= n:
        raise ValueError(f"nonzeros: expected an integer in 1 ... {n}, got {nonzeros!r}")
    step = 1 / (2 * math.sqrt(m) * operator.column_rms())  # column_rms: ||A||_F / sqrt(n)
    wanted = jnp.where(y < 0, -1.0, 1.0)

    def iterate(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
        x, best, fewest = state
        residual = wanted - jnp.where(operator(x) < 0, -1.0, 1.0)
        wrong = jnp.sum(residual != 0, axis=-1, keepdims=True)
        best, fewest = jnp.where(wrong < fewest, x, best), jnp.minimum(wrong, fewest)
        moved = x + step * operator.T(residual)
        smallest_kept = jax.lax.top_k(jnp.abs(moved), nonzeros)[0][..., -1:]
        return (jnp.where(jnp.abs(moved) >= smallest_kept, moved, 0), best, fewest), None

    zero = jnp.zeros((*y.shape[:-1], n), y.dtype)
    start = (zero, zero, jnp.full((*y.shape[:-1], 1), m + 1))
    _, best, _ = jax.lax.scan(iterate, start, None, length=iterations)[0]
    size = norm(best, keepdims=True)
    return best / jnp.where(size > 0, size, 1)  # no iterate was better than 0: 0
