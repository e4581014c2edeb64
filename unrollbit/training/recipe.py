"""What recipes are made of: their result, and the network that they start with."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from unrollbit.algorithms import Algorithm, LinearMap
from unrollbit.arguments import check_names, integer
from unrollbit.formats import Format, Normalised, SignalDomain, as_format
from unrollbit.networks import Activations, Unrolled
from unrollbit.operators import LinearOperator
from unrollbit.operators.physics import physics_of
from unrollbit.training.chosen import chosen_algorithm
from unrollbit.training.losses import Loss
from unrollbit.training.stage import Stage, grown

_MATRIX_RATE = 1e-3
_LARGEST = 2**25  # entries of physics whose columns are normalised


class Recipe(NamedTuple):
    """An initialised network and the stages that train it: ``fit(recipe, problem)``."""

    network: Unrolled
    stages: tuple[Stage, ...]

    def __repr__(self) -> str:
        steps = sum(stage.steps for stage in self.stages)
        return f"Recipe({self.network!r}, {len(self.stages)} stages, {steps} steps)"


@dataclass(frozen=True)
class Setting:
    """What all recipes take, and what they make of it: a network, and stages of one batch and loss.

    Args:
        problem: a ``Problem``, or the physics alone.
        depth: number of layers.
        algorithm: the cell; None: ``AMP`` with the shrinkage that fits the problem's signals where the physics is
            random-like, else the best classic solver of as many iterations, tuned on validation signals, unless its
            thresholds stop most of them.
        physics: what the network holds in place of the problem's operator, of its shape; measurements stay those of
            the problem.
        activations: few bits or a normalisation for the input of the maps.
        distinct: number of distinct matrices; None: one per layer.
        batch: signals per step.
        loss: of the stages; None: that of ``Stage``.
    """

    problem: Any
    depth: int
    algorithm: Algorithm | None = None
    physics: LinearOperator | None = None
    activations: Activations | None = None
    distinct: int | None = None
    batch: int = 64
    loss: Loss | None = None

    def __post_init__(self) -> None:
        integer("depth", self.depth, 1)
        if not float(physics_of(self.problem).column_rms()) > 0:
            raise ValueError("physics: all its entries are zero, so nothing is measured")

    @property
    def held(self) -> Any:
        """What the network holds as its physics: the problem's, or a form of it of the same shape."""
        if self.physics is None:
            return self.problem
        A = physics_of(self.problem)
        if self.physics.shape != A.shape:
            raise ValueError(f"physics: expected the shape {A.shape} of A, got {self.physics.shape}")
        return self.physics

    @functools.cached_property
    def chosen(self) -> Algorithm:
        """The algorithm that was given, or that suits the problem."""
        return chosen_algorithm(self.problem, self.held, self.depth) if self.algorithm is None else self.algorithm

    @property
    def matrix_rate(self) -> float:
        """A learning rate for learned matrices: 1e-3 of the norm of a column at the start, so that it has the unit of
        the matrix.
        """
        maps = self.chosen.maps(physics_of(self.held)).values()
        norms = [float(linear_map.initial.column_rms()) for linear_map in maps if linear_map.learned]
        return _MATRIX_RATE * (math.fsum(norms) / len(norms) if norms else 1.0)

    def network(self, weights: Format, **scalars: Any) -> Unrolled:
        """The network with maps of a format, fitted to map and physics; ``scalars`` as in ``Unrolled``."""
        algorithm, held = self.chosen, self.held
        formats = fitted(weights, algorithm, physics_of(held))
        options = {"distinct": self.distinct, "activations": self.activations, **scalars}
        return Unrolled(algorithm, held, self.depth, formats, **options)

    def stage(self, steps: int, **options: Any) -> Stage:
        """A stage of all layers."""
        return Stage(steps, **self._common, **options)

    def grown(self, steps: int, **options: Any) -> tuple[Stage, ...]:
        """Stages of growing depth."""
        return grown(self.depth, steps, **self._common, **options)

    @property
    def _common(self) -> dict[str, Any]:
        return {"batch": self.batch} if self.loss is None else {"batch": self.batch, "loss": self.loss}


def recipe(*fixed: str) -> Callable[[Callable[..., Recipe]], Callable[..., Recipe]]:
    """Decorator of a recipe ``f(problem, ..., **setting)``: its signature shows the options of ``Setting`` too.

    ``fixed`` are those that the recipe decides itself. Other names than those of the signature are a ``ValueError``.
    """

    def decorate(function: Callable[..., Recipe]) -> Callable[..., Recipe]:
        own = inspect.signature(function)
        named = {name: entry for name, entry in own.parameters.items() if entry.kind is not entry.VAR_KEYWORD}
        shared = [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
            for field in dataclasses.fields(Setting)
            if field.name not in (*fixed, *named, "problem", "depth")
        ]
        signature = own.replace(parameters=[*named.values(), *shared])

        @functools.wraps(function)
        def checked(*arguments: Any, **options: Any) -> Recipe:
            check_names(f"recipes.{function.__name__}", options, list(signature.parameters))
            return function(*arguments, **options)

        checked.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
        return checked

    return decorate


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
    if parts is not None and not any(part.in_signal_domain for part in format.parts):
        format = SignalDomain(format)
    wanted = linear_map.unit_diagonal and size <= _LARGEST and all(part.normalisable for part in format.parts)
    return Normalised(format) if wanted else format
