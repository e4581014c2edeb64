"""A user's own shrinkage: a soft threshold that never shrinks beyond a share of an entry."""

from dataclasses import dataclass

import jax.numpy as jnp

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage import Shrinkage


@dataclass(frozen=True)
class Ramp(Shrinkage):
    """``u - share clip(u, -t, t)``, ``t = tau theta``."""

    share: float = 0.9

    def scalars(self, weight):
        return {"threshold": ScalarSpec(weight, "nonnegative")}

    def __call__(self, u, scalars, tau):
        t = tau * scalars["threshold"]
        return u - self.share * jnp.clip(u, -t, t)
