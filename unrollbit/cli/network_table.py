"""The tables of a config that describe a network: ``[network]``, or ``[recipe]`` with stages of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from unrollbit.algorithms.base import Algorithm
from unrollbit.arguments import called
from unrollbit.formats import Format
from unrollbit.networks import Activations, FullyConnected, Network, Unrolled
from unrollbit.operators import LinearOperator, Preconditioned
from unrollbit.packed_operators import sign_planes
from unrollbit.problems import Problem
from unrollbit.shrinkage import Influence
from unrollbit.training import recipes
from unrollbit.training.losses import Loss

RECIPES: dict[str, Callable[..., recipes.Recipe]] = {
    name: getattr(recipes, name) for name in recipes.__all__ if name != "Recipe"
}
PHYSICS: dict[str, Callable[..., LinearOperator]] = {"preconditioned": Preconditioned.of, "sign-planes": sign_planes}


def build_network(table: Mapping[str, Any], problem: Problem) -> Network:
    """The network of a ``[network]`` table; keys are those of the constructor of its ``kind`` (default Unrolled).

    Raises ``ValueError``.
    """
    options = _parts({"weights": "OneBit", **table}, problem)
    kind = options.pop("kind", "Unrolled")
    if kind == "FullyConnected":
        return called("[network]", FullyConnected, options, problem, hidden="biases")
    if kind != "Unrolled":
        raise ValueError(f"[network] kind: expected Unrolled or FullyConnected, got {kind!r}")
    algorithm = options.pop("algorithm", None) or Algorithm.from_spec({"kind": "AMP"})
    held = options.pop("physics", problem)
    return called("[network]", Unrolled, options, algorithm, held, hidden="scalars packed")


def build_recipe(table: Mapping[str, Any], problem: Problem, teacher: Network | None) -> recipes.Recipe:
    """The network and stages of a ``[recipe]`` table; keys are the arguments of the recipe of its ``name``.

    Raises ``ValueError``.
    """
    options = _parts(table, problem)
    name = options.pop("name", "default")
    if name not in RECIPES:
        raise ValueError(f"[recipe] name: expected one of {', '.join(sorted(RECIPES))}, got {name!r}")
    if "teacher" in options:
        raise ValueError("[recipe] teacher: expected at the top of the config, before the tables, where stages find it")
    recipe = RECIPES[name]
    if recipe is recipes.distilled:
        if teacher is None:
            raise ValueError(f"[recipe] {name}: needs teacher = 'network.safetensors' at the top of the config")
        recipe = partial(recipe, teacher=teacher)
    return called(f"[recipe] {name}", recipe, options, problem, hidden="teacher")


def build_weights(spec: Any) -> Format:
    """The format of a weights table, ``{kind = "Anchored", inner = {kind = "OneBit"}}``, or of a bare name."""
    return Format.from_spec({"kind": spec} if isinstance(spec, str) else spec)


def build_algorithm(spec: Any, problem: Problem) -> Algorithm:
    """The algorithm of a table. A shrinkage ``Grouped`` with ``groups = "bands"`` takes the groups of the problem's own
    prior: wavelet subbands, or bands of frequencies.
    """
    shrinkage = spec.get("shrinkage") if isinstance(spec, Mapping) else None
    if not isinstance(shrinkage, Mapping) or shrinkage.get("groups") != "bands":
        return Algorithm.from_spec({"kind": spec} if isinstance(spec, str) else spec)
    groups = problem.prior().to_spec().get("groups")
    if groups is None:
        raise ValueError(f"shrinkage: groups = 'bands' is for signals with bands; {problem.to_spec()['kind']} has none")
    return Algorithm.from_spec({**spec, "shrinkage": {**shrinkage, "groups": groups}})


def build_physics(spec: Any, problem: Problem) -> LinearOperator:
    """A physics table: ``form`` "preconditioned" (takes ``delta``) or "sign-planes" (``planes``) of the problem's A."""
    options = dict(spec) if isinstance(spec, Mapping) else {"form": spec}
    form = options.pop("form", None)
    if form not in PHYSICS:
        raise ValueError(f"physics: expected form = {' or '.join(map(repr, sorted(PHYSICS)))}, got {form!r}")
    return called(f"[physics] {form}", PHYSICS[form], options, problem.operator)


def _parts(table: Mapping[str, Any], problem: Problem) -> dict[str, Any]:
    """The values of a table, those that are tables themselves as the objects that they describe."""
    builders: dict[str, Callable[[Any], Any]] = {
        "algorithm": lambda spec: build_algorithm(spec, problem),
        "physics": lambda spec: build_physics(spec, problem),
        "weights": build_weights,
        "loss": Loss.from_spec,
        "influence": Influence.from_spec,
        "activations": Activations.from_spec,
    }
    return {name: builders[name](value) if name in builders else value for name, value in table.items()}
