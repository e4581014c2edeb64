"""An operator of a user's own, without a structure: running sums."""

from dataclasses import dataclass, field

import jax.numpy as jnp

from unrollbit.operators import LinearOperator
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Trend(LinearOperator):
    n: int = field(metadata={"static": True})

    @property
    def shape(self):
        return self.n, self.n

    def _apply(self, x):
        return jnp.cumsum(x, -1)

    def _apply_adjoint(self, y):
        return jnp.flip(jnp.cumsum(jnp.flip(y, -1), -1), -1)
