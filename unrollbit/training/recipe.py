"""What recipes are made of: their result, and the network that they start with."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from unrollbit.algorithms import AMP, Algorithm, LinearMap
from unrollbit.formats import Format, Normalised, SignalDomain, as_format
from unrollbit.networks import Activations, Unrolled
from unrollbit.operators import LinearOperator
from unrollbit.training.stage import Stage

_LARGEST = 2**25  # entries of physics whose columns are normalised


class Recipe(NamedTuple):
    """An initialised network and the stages that train it: ``fit(recipe.network, problem, recipe.stages)``."""

    network: Unrolled
    stages: tuple[Stage, ...]


def initialised(
    problem: Any,
    depth: int,
    weights: Format,
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
    formats = fitted(weights, algorithm, getattr(held, "operator", held))
    return Unrolled(algorithm, held, depth, formats, distinct=distinct, activations=activations)


def held_physics(physics: LinearOperator | None, problem: Any) -> Any:
    """What the network holds as its physics: the problem's, or a form of it of the same shape."""
    if physics is None:
        return problem
    A = getattr(problem, "operator", problem)
    if physics.shape != A.shape:
        raise ValueError(f"physics: expected the shape {A.shape} of A, got {physics.shape}")
    return physics


def fitted(weights: Format, algorithm: Algorithm, physics: LinearOperator) -> dict[str, Format]:
    """The format of each learned map, wrapped as map and physics ask: signs in the domain of the signal, columns
    normalised.

    Columns of physics too large to be formed (more than 2^25 entries, but for blocks, whose zeros are not) stay as they
    are: step sizes are learned.
    """
    maps = algorithm.maps(physics)
    return {name: _fitted(as_format(weights), map, physics) for name, map in maps.items() if map.learned}


def _fitted(format: Format, linear_map: LinearMap, physics: LinearOperator) -> Format:
    parts = physics.split if linear_map.transposed else None
    structure = linear_map.structure if parts is None else parts[0].mask()
    size = math.prod(structure.core_shape)
    if parts is not None and not format.in_signal_domain:
        format = SignalDomain(format)
    wanted = linear_map.unit_diagonal and format.normalisable and size <= _LARGEST
    return Normalised(format) if wanted else format
