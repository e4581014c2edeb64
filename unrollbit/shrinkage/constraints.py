"""Shrinkages onto convex sets: non-negative signals, boxes, and no constraint at all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


@dataclass(frozen=True)
class NonNegative(Shrinkage):
    """``max(u - tau theta, 0)``, the proximal map of ``tau theta ||x||_1`` restricted to ``x >= 0``.

    At ``theta = 0`` (weight 0) it is the projection onto the non-negative orthant.

    Scalars: ``threshold`` (theta >= 0, starts at ``weight``).

    Source: Parikh and Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014), section 6.5.

    Example:
        >>> import jax.numpy as jnp
        >>> NonNegative()(jnp.array([-3.0, 0.5, 2.0]), {"threshold": jnp.array(1.0)}, 1.0)
        Array([0., 0., 1.], dtype=float32)
    """

    convex = True

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {"threshold": ScalarSpec(weight, "nonnegative")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        return jnp.maximum(u - tau * scalars["threshold"], 0).astype(u.dtype)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """Sum of the entries; infinite if any is negative."""
        return jnp.where(jnp.any(x < 0, axis=-1), jnp.inf, jnp.sum(x, axis=-1))


@dataclass(frozen=True)
class Box(Shrinkage):
    """``min(max(u, lower), upper)``, the projection onto a box; no scalars. Either side may be infinite.

    Source: Parikh and Boyd, "Proximal algorithms", Found. Trends Optim. 1 (2014), section 6.2.

    Example:
        >>> import jax.numpy as jnp
        >>> Box(0.0, 1.0)(jnp.array([-3.0, 0.5, 2.0]), {}, 1.0)
        Array([0. , 0.5, 1. ], dtype=float32)
    """

    convex = True

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        if not self.lower <= self.upper or self.lower == math.inf or self.upper == -math.inf:
            raise ValueError(
                f"Box: expected lower <= upper with numbers between them, got lower={self.lower}, upper={self.upper}"
            )

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        return jnp.clip(u, self.lower, self.upper)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        """0 inside the box, infinite outside."""
        outside = jnp.any((x < self.lower) | (x > self.upper), axis=-1)
        return jnp.where(outside, jnp.inf, 0).astype(x.dtype)


@dataclass(frozen=True)
class Identity(Shrinkage):
    """``u`` itself: no shrinkage and no scalars, as in gradient descent.

    Example:
        >>> import jax.numpy as jnp
        >>> Identity()(jnp.array([-3.0, 0.5]), {}, 1.0)
        Array([-3. ,  0.5], dtype=float32)
    """

    convex = True
    linear = True

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        return u

    def thresholds(self, scalars: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.zeros(1)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.zeros(x.shape[:-1], x.dtype)
