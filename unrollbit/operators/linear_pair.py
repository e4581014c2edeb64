"""A linear function together with its adjoint as one JAX primitive: each is the derivative's transpose of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

from unrollbit.kernels.primitive import primitive

linear_pair_p = primitive("linear_pair")


class LinearPair(NamedTuple):
    """Functions ``(*batch, n) -> (*batch, m)`` and back, hashable, and ``m``, ``n``."""

    forward: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]
    m: int
    n: int

    @property
    def T(self) -> LinearPair:
        return LinearPair(self.adjoint, self.forward, self.n, self.m)

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``forward(x)``, whose derivative and transpose are products with the two functions: nothing looks inside
        them. Runs under ``jit``, ``vmap``, ``grad``, ``jvp`` and ``scan``.
        """
        return linear_pair_p.bind(x, pair=self)


@linear_pair_p.def_abstract_eval
def _shape(x: Any, *, pair: LinearPair) -> Any:
    return x.update(shape=(*x.shape[:-1], pair.m), weak_type=False)


ad.deflinear2(linear_pair_p, lambda cotangent, _, *, pair: [linear_pair_p.bind(cotangent, pair=pair.T)])


def _batch(arguments: tuple[Array], axes: tuple[int], *, pair: LinearPair) -> tuple[Array, int]:
    (x,), (axis,) = arguments, axes
    return linear_pair_p.bind(jnp.moveaxis(x, axis, 0), pair=pair), 0


batching.primitive_batchers[linear_pair_p] = _batch
mlir.register_lowering(
    linear_pair_p, mlir.lower_fun(lambda x, *, pair: pair.forward(x).astype(x.dtype), multiple_results=False)
)
