"""A linear function together with its adjoint: each is the derivative's transpose of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Float

from unrollbit.kernels.linear import linear_pair


class LinearPair(NamedTuple):
    """Functions ``(*batch, n) -> (*batch, m)`` and back, hashable."""

    forward: Callable[[Array], Array]
    adjoint: Callable[[Array], Array]

    @property
    def T(self) -> LinearPair:
        return LinearPair(self.adjoint, self.forward)

    def __call__(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        """``forward(x)``, whose derivative and transpose are products with the two functions: nothing looks inside
        them. Runs under ``jit``, ``vmap``, ``grad``, ``jvp`` and ``scan``.
        """
        return _forward_p.bind(x, pair=self)


_forward_p, _ = linear_pair(
    "linear_function",
    lambda x, *, pair: pair.forward(x).astype(x.dtype),
    lambda y, *, pair: pair.adjoint(y).astype(y.dtype),
)
