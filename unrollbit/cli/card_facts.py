"""What a packed network is, read off the network itself and the recipes in its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unrollbit import __version__
from unrollbit.formats import Weights
from unrollbit.networks import Activations
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem
from unrollbit.problems.data import named_data


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
    leaf = weights.leaf
    m, n = leaf.shape
    first, *around = weights.format.describe(weights)
    facts = [first]
    if leaf.stored_weights():
        tie = "untied" if leaf.copies >= uses > 1 else "tied" if leaf.copies == 1 and uses > 1 else "cycled"
        matrices = "1 matrix" if leaf.copies == 1 else f"{leaf.copies} matrices"
        facts.append(matrices if uses == 1 else f"{tie} ({matrices})")
    return f"{name} ({m} x {n}): " + ", ".join(facts + around)


def read_problem(packed: PackedNetwork, problem: Problem) -> dict[str, Any]:
    """The recipe, data by name, and ``noise`` None where the problem could have noise but has none."""
    spec = {name: named_data(value) for name, value in (packed.problem or {}).items()}
    return spec if getattr(problem, "noise", "unknown") is not None else {**spec, "noise": None}


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
