"""What a model consists of: quantised layers, and all that is held in floats beside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from flax import nnx

from unrollbit.algorithms.base import LinearMap
from unrollbit.formats import PackedWeights, Weights
from unrollbit.models.layers import QuantisedLayer
from unrollbit.models.selection import Path, named
from unrollbit.operators import Dense
from unrollbit.structures import Full

_PASSING = (nnx.RngState, nnx.Cache, nnx.Intermediate)  # what belongs to a call, not to the model


def quantised_layers(model: nnx.Module) -> dict[Path, QuantisedLayer]:
    """The quantised layers of a model by path; one that stands in several places has the first one's."""
    return {path: node for path, node in nnx.iter_modules(model) if isinstance(node, QuantisedLayer)}


def kept_variables(model: nnx.Module) -> dict[Path, nnx.Variable]:
    """All other variables by path: embeddings, norms and their statistics, biases, kernels that were kept.

    Random states, caches and intermediate values are none of the model.
    """
    inside = {(*path, "weights") for path in quantised_layers(model)}
    return {
        path: variable
        for path, variable in nnx.to_flat_state(nnx.state(model))
        if not isinstance(variable, _PASSING) and not any(path[:k] in inside for k in range(len(path)))
    }


def by_name(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by the names that files and reports have. Raises ``ValueError`` for two of one name."""
    names: dict[str, Path] = {}
    for path in paths:
        name = named(path)
        if name in names:
            raise ValueError(f"two parts of the model have the name {name!r}; expected names without dots")
        names[name] = path
    return names


def read_weights(layer: Any, packed: PackedWeights, *, frozen: bool) -> Weights:
    """The weights of a layer from what a file holds. Raises ``ValueError`` for others than the layer's."""
    structure = QuantisedLayer.kind_of(layer).structure(layer)
    m, n = structure.shape
    nothing: Any = np.broadcast_to(np.zeros((), np.float32), (m, n))  # takes no memory
    linear = LinearMap(Dense(nothing), Full(m, n))
    weights = Weights.unpack(packed, linear, linear.initial, frozen=frozen)
    if weights.inner is not None or weights.structure != structure or weights.copies != 1:
        raise ValueError(f"expected one matrix of {structure}, got {weights} of {weights.structure}")
    return weights
