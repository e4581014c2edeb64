"""What a packed network is, read off the network itself and the recipes in its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrollbit import __version__
from unrollbit.networks import Activations
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem
from unrollbit.problems.data import is_description
from unrollbit.weights import Anchored, Fixed, FullPrecision, Normalised, Transformed, Weights
from unrollbit.weights.quantised import Formatted
from unrollbit.weights.wrappers import Wrapper


def describe(packed: PackedNetwork) -> dict[str, Any]:
    """One line about the network, its algorithm, depth and size; the version of the library that measures it."""
    net = packed.network
    maps = "; ".join(describe_map(name, weights, net.uses(name)) for name, weights in net.maps.items())
    line = f"{net.method}, {net.depth} layers. {maps}."
    if net.activations is not None:
        line += f" {describe_activations(net.activations)}."
    m, n = net.operator.shape
    if net.needs_physics:
        line += f" Physics A ({m} x {n}): {net.operator.description()}."
    facts = {"algorithm": net.method, "depth": net.depth, "m": m, "n": n}
    return {"description": line, **facts, "unrollbit": __version__}


def describe_activations(activations: Activations) -> str:
    """``Around learned maps: inputs in 8 bits, layer normalisation of the input``."""
    facts = [] if activations.bits is None else [f"inputs in {activations.bits} bits"]
    if activations.normalisation != "none":
        facts.append(f"layer normalisation of the {activations.normalisation}")
    return "Around learned maps: " + ", ".join(facts)


def describe_map(name: str, weights: Weights, uses: int) -> str:
    """``W (256 x 512): one-bit, 2 sign planes, tied (1 matrix), columns normalised``."""
    extras = []
    inner: Weights = weights
    while isinstance(inner, Wrapper):
        beside = isinstance(inner, Anchored) and not inner.shared
        extras.append(_BESIDE if beside else _WRAPPERS.get(type(inner).__name__, type(inner).__name__))
        inner = inner.inner
    m, n = inner.shape
    facts = [_format(inner)]
    if not isinstance(inner, Fixed):
        tie = "untied" if inner.copies >= uses > 1 else "tied" if inner.copies == 1 and uses > 1 else "cycled"
        matrices = "1 matrix" if inner.copies == 1 else f"{inner.copies} matrices"
        facts.append(matrices if uses == 1 else f"{tie} ({matrices})")
    return f"{name} ({m} x {n}): " + ", ".join(facts + extras)


_BESIDE = "anchored (added to the start value that A determines)"
_WRAPPERS = {
    Normalised.__name__: "columns normalised with A",
    Anchored.__name__: "anchored (added to A)",
    Transformed.__name__: "in the domain of the signal",
}


def _format(weights: Weights) -> str:
    if isinstance(weights, Formatted):
        return weights.format.description
    if isinstance(weights, Fixed):
        if weights.coherent:
            return "not learned: the matrix of least coherence with A (ALISTA's), recomputed from A"
        return "not learned: A itself" if weights.shared else "not learned: computed from A"
    return "full precision (32-bit floats)" if isinstance(weights, FullPrecision) else type(weights).__name__


def read_problem(packed: PackedNetwork, problem: Problem) -> dict[str, Any]:
    """The recipe, data by name, and ``snr_db`` None where the problem could have noise but has none."""
    recipe = packed.problem or {}
    spec = {name: value["name"] if is_description(value) else value for name, value in recipe.items()}
    return spec if not hasattr(problem, "snr_db") else {**spec, "snr_db": spec.get("snr_db")}


def read_training(packed: PackedNetwork) -> dict[str, Any]:
    """Command, seed, steps, seconds and config as the file has them; None: not there.

    ``steps`` are those of the record or of its config (None where a recipe chose them).
    """
    kept = packed.training or {}
    steps, config = kept.get("steps"), kept.get("config")
    config = config if isinstance(config, Mapping) else {}
    stages, recipe = config.get("stages"), config.get("recipe")
    if steps is None and isinstance(stages, list):
        steps = sum(stage.get("steps", 0) for stage in stages if isinstance(stage, Mapping))
    elif steps is None and isinstance(recipe, Mapping):
        steps = recipe.get("steps")
    return {name: kept.get(name) for name in ("command", "seed", "seconds", "samples", "config")} | {"steps": steps}
