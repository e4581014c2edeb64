"""The learned maps of an unrolled network: how they are built, sliced layer by layer, and formed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap, Maps
from unrollbit.arrays import in_dtype
from unrollbit.formats import Fixed, Place, Weights, as_format
from unrollbit.operators import LinearOperator


def built(name: str, linear_map: LinearMap, weights: Any, place: Place) -> Weights:
    """The weights of a map. Raises ``ValueError`` for none of its name, or of another shape."""
    if not linear_map.learned:
        return Fixed().build(Place(linear_map, place.physics))
    if isinstance(weights, Mapping):
        if name not in weights:
            raise ValueError(f"weights: no entry for the map {name!r}; got {sorted(weights)}")
        weights = weights[name]
    # an argument may be a format or weights that exist already, of a file say
    found = weights if isinstance(weights, Weights) else as_format(weights).build(place)
    if found.shape != linear_map.shape:
        raise ValueError(f"weights of map {name!r}: expected matrices of shape {linear_map.shape}, got {found.shape}")
    return found


def layer_maps(
    maps: Mapping[str, Weights], K: int, dtype: Any, held: Callable[[LinearOperator, Any], LinearOperator]
) -> tuple[dict[str, Any], Callable[[dict[str, Any], Array], Maps]]:
    """What a scan over K layers slices of the maps, and the function from a slice to the matrices of a layer.

    ``held`` is what becomes of a matrix that all layers use.
    """
    stacked: dict[str, Any] = {}
    single: dict[str, LinearOperator] = {}
    cycled: dict[str, Any] = {}
    for name, weights in maps.items():
        parameters = weights.prepare()
        if weights.copies == 1:
            single[name] = held(weights.matrix(jax.tree.map(lambda a: a[0], parameters)), dtype)
        elif weights.copies >= K:
            stacked[name] = jax.tree.map(lambda a: a[:K], parameters)
        else:
            cycled[name] = parameters

    def fetch(slices: dict[str, Any], k: Array) -> Maps:
        matrices = dict(single)
        for name, parameters in slices.items():
            matrices[name] = in_dtype(maps[name].matrix(parameters), dtype)
        for name, parameters in cycled.items():
            index = k % maps[name].copies
            own = jax.tree.map(lambda a, i=index: a[i], parameters)
            matrices[name] = in_dtype(maps[name].matrix(own), dtype)
        return matrices

    return stacked, fetch


@functools.partial(jax.jit, static_argnums=1)
def linear_parts(net: Any, dtype: str) -> tuple[Array, Array]:
    """Dense ``(H, G)`` of all layers of an unrolled network in its algorithm's normal form."""
    layers, maps = np.arange(net.depth), {}
    for name, weights in net.maps.items():
        maps[name] = jnp.asarray(weights.dense(), dtype)[layers % weights.copies]
    scalars = {name: jnp.asarray(values, dtype) for name, values in net.values().items()}
    return net.algorithm.linear_part(jnp.asarray(net.operator.dense(), dtype), maps, scalars)
