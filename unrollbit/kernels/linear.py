"""Linear maps as JAX primitives that know their transposes, where JAX would find slow ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array

from unrollbit.kernels.primitive import primitive


def linear_pair(
    name: str, forward: Callable[..., Array], backward: Callable[..., Array]
) -> tuple[Primitive, Primitive]:
    """Two primitives, each the transpose of the other: ``forward(x, **params)`` and ``backward(g, **params)``.

    Both take any leading axes (as many as they are given), to which ``vmap`` adds one. ``params`` are hashable.
    """
    made = primitive(name), primitive(f"{name}_transpose")
    for own, other, function in ((made[0], made[1], forward), (made[1], made[0], backward)):
        own.def_abstract_eval(_shape_of(function))
        ad.deflinear2(own, lambda g, _, other=other, **params: [other.bind(g, **params)])
        batching.primitive_batchers[own] = _batched(own)
        mlir.register_lowering(own, mlir.lower_fun(function, multiple_results=False))
    return made


def _shape_of(function: Callable[..., Array]) -> Callable[..., Any]:
    def shape(x: Any, **params: Any) -> Any:
        out = jax.eval_shape(lambda x: function(x, **params), jax.ShapeDtypeStruct(x.shape, x.dtype))
        return x.update(shape=out.shape, dtype=out.dtype, weak_type=False)

    return shape


def _batched(own: Primitive) -> Callable[..., Any]:
    def batch(arguments: tuple[Array], axes: tuple[int], **params: Any) -> tuple[Array, int]:
        return own.bind(jnp.moveaxis(arguments[0], axes[0], 0), **params), 0

    return batch
