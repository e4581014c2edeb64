"""An operator of a user's own with a structure of its own: one channel that all others leak into."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.operators import LinearOperator
from unrollbit.structures import DenseCore, Structure
from unrollbit.values import pytree


@dataclass(frozen=True)
class Arrowhead(DenseCore):
    """The diagonal and the first row."""

    n: int

    @property
    def shape(self):
        return self.n, self.n

    @property
    def size(self):
        return 2 * self.n - 1

    @property
    def core_mask(self):
        return np.eye(self.n, dtype=bool) | (np.arange(self.n) == 0)[:, None]

    @property
    def T(self):
        return Structure.from_spec({"kind": "Full", "m": self.n, "n": self.n})

    def gram(self):
        return self.T


@pytree
@dataclass(frozen=True)
class Leak(LinearOperator):
    """``y_0 = sum_j leak_j x_j``, ``y_i = x_i``."""

    leak: Array

    @property
    def shape(self):
        return self.leak.size, self.leak.size

    def _apply(self, x):
        return jnp.concatenate([(x @ self.leak)[..., None], x[..., 1:]], -1)

    def _apply_adjoint(self, y):
        return y[..., :1] * self.leak + y.at[..., 0].set(0)

    def mask(self):
        return Arrowhead(self.leak.size)
