"""What recipes are made of: their result, and the network that they start with."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from unrollbit.algorithms import AMP, Algorithm, LinearMap
from unrollbit.networks import Activations, Unrolled
from unrollbit.operators import Composition, LinearOperator
from unrollbit.training.stage import Stage
from unrollbit.weights import Normalised, Weights, WeightsFactory, in_signal_domain

_LARGEST = 2**25  # entries of physics whose columns are normalised


class Recipe(NamedTuple):
    """An initialised network and the stages that train it: ``fit(recipe.network, problem, recipe.stages)``."""

    network: Unrolled
    stages: tuple[Stage, ...]


def initialised(
    problem: Any,
    depth: int,
    weights: WeightsFactory,
    algorithm: Algorithm | None = None,
    physics: LinearOperator | None = None,
    activations: Activations | None = None,
    distinct: int | None = None,
) -> Unrolled:
    """The network of a recipe, of AMP with the shrinkage that fits the problem's signals unless told otherwise."""
    if algorithm is None:
        prior = getattr(problem, "prior", None)
        algorithm = AMP() if prior is None else AMP(prior())
    held = held_physics(physics, problem)
    return Unrolled(algorithm, held, depth, weights, distinct=distinct, activations=activations)


def held_physics(physics: LinearOperator | None, problem: Any) -> Any:
    """What the network holds as its physics: the problem's, or a form of it of the same shape."""
    if physics is None:
        return problem
    A = getattr(problem, "operator", problem)
    if physics.shape != A.shape:
        raise ValueError(f"physics: expected the shape {A.shape} of A, got {physics.shape}")
    return physics


def fitted(weights: type[Weights] | WeightsFactory) -> WeightsFactory:
    """Wrap a format or factory as map and physics ask: signs in the domain of the signal, columns normalised.

    Columns of physics too large to be formed (more than 2^25 entries, but for blocks, whose zeros are not) stay as they
    are: step sizes are learned.
    """
    factory = weights.for_map if isinstance(weights, type) else weights

    def build(linear_map: LinearMap, physics: LinearOperator, copies: int) -> Weights:
        composed = isinstance(physics, Composition) and physics.inner.is_orthogonal and linear_map.transposed
        weights = (in_signal_domain(factory) if composed else factory)(linear_map, physics, copies)
        wanted = linear_map.unit_diagonal and weights.normalisable and not isinstance(weights, Normalised)
        wanted = wanted and math.prod(weights.structure.core_shape) <= _LARGEST
        return Normalised.around(weights, physics) if wanted else weights

    return build
