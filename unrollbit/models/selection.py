"""Which layers of a model are quantised."""

from __future__ import annotations

from typing import Any

from flax import nnx
from flax.nnx import filterlib

from unrollbit.models.layers import QuantisedLayer

Path = tuple[Any, ...]
ENDS = "ends"


def found(model: nnx.Module) -> dict[Path, nnx.Module]:
    """The layers of a model that can be quantised, by path, in the order in which its code makes them."""
    return {path: layer for path, layer in _weighted(model).items() if type(layer) in QuantisedLayer.kinds}


def selected(model: nnx.Module, where: filterlib.Filter, keep: filterlib.Filter) -> dict[Path, nnx.Module]:
    """Those that ``where`` names and ``keep`` does not. Raises ``ValueError`` where none is left."""
    layers = found(model)
    if not layers:
        kinds = ", ".join(f"nnx.{kind.__name__}" for kind in QuantisedLayer.kinds)
        raise ValueError(f"quantise: expected a model with layers among {kinds}; {type(model).__name__} has none")
    kept = filterlib.PathIn(*ends(model)) if keep == ENDS else filterlib.to_predicate(keep)
    wanted = filterlib.to_predicate(where)
    chosen = {path: layer for path, layer in layers.items() if wanted(path, layer) and not kept(path, layer)}
    if not chosen:
        names = ", ".join(map(named, layers))
        raise ValueError(
            f"quantise: of the layers {names} none is named by where={where!r} and left by keep={keep!r}; "
            "keep=None keeps none"
        )
    for path, layer in chosen.items():
        if reason := QuantisedLayer.kind_of(layer).refused(layer):
            raise ValueError(f"quantise: {named(path)} cannot be quantised ({reason}); name it in keep")
    return chosen


def ends(model: nnx.Module) -> tuple[Path, ...]:
    """The paths of the first and the last layer with weights, embeddings among them."""
    paths = list(_weighted(model))
    return (paths[0], paths[-1]) if paths else ()


def named(path: Path) -> str:
    """A path as people write it: ``blocks.0.attention.query``."""
    return ".".join(map(str, path)) or "(the model itself)"


def _weighted(model: nnx.Module) -> dict[Path, nnx.Module]:
    """Layers with a kernel or an embedding, in the order in which attributes were made."""
    holds = [
        (path, node)
        for path, node in nnx.iter_modules(model)
        if isinstance(node, QuantisedLayer)
        or isinstance(getattr(node, "kernel", getattr(node, "embedding", None)), nnx.Param)
    ]
    return dict(sorted(holds, key=lambda item: _order(model, item[0])))


def _order(model: Any, path: Path) -> list[int]:
    """Where each step of a path stands among the parts of its parent."""
    places, node = [], model
    for part in path:
        parts: dict[Any, Any] = node if isinstance(node, dict) else _parts(node)
        key = part if part in parts else str(part)
        places.append(list(parts).index(key))
        node = parts[key]
    return places


def _parts(node: Any) -> dict[Any, Any]:
    return vars(node) if hasattr(node, "__dict__") else dict(enumerate(node))
