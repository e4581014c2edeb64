"""Classic solvers as baselines: the best regularisation weight, chosen on validation signals."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms.admm import ADMM
from unrollbit.algorithms.ista import Proximal
from unrollbit.algorithms.solve import solve
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
