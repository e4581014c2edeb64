"""Block soft threshold."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import binary_unit, norm
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


@dataclass(frozen=True)
class GroupSoft(Shrinkage):
    """Block soft threshold: each group of ``group_size`` consecutive entries shrinks as one vector.

        u_g max(1 - tau theta / ||u_g||_2, 0),    the proximal map of tau theta sum_g ||x_g||_2

    Where ``tau`` or the threshold vary within a group, the group takes their product's mean.

    Scalars: ``threshold`` (theta >= 0, starts at ``weight``).

    Source: Yuan and Lin, "Model selection and estimation in regression with grouped variables", J. R. Stat. Soc. B 68
    (2006).

    Example:
        >>> import jax.numpy as jnp
        >>> GroupSoft(2)(jnp.array([3.0, 4.0, 0.1, 0.1]), {"threshold": jnp.array(2.5)}, 1.0)
        Array([1.5, 2. , 0. , 0. ], dtype=float32)
    """

    convex = True
    separable = False

    group_size: int

    def __post_init__(self) -> None:
        if self.group_size < 1:
            raise ValueError(f"GroupSoft: group_size must be at least 1, got {self.group_size}")

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {"threshold": ScalarSpec(weight, "nonnegative")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        threshold = jnp.asarray(tau * scalars["threshold"])
        if threshold.ndim and threshold.shape[-1] > 1:
            threshold = jnp.mean(self._groups(threshold), axis=-1)
        groups = self._groups(u)
        unit = binary_unit(groups)
        size = norm(groups / unit)
        ratio = threshold / unit[..., 0] / jnp.where(size == 0, 1, size)  # in a group's unit: 1 / size^2 is a float
        factor = jnp.where(size == 0, 0, jnp.maximum(1 - ratio, 0))
        return (groups * factor[..., None]).reshape(u.shape).astype(u.dtype)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sum(norm(self._groups(x)), axis=-1)

    def _groups(self, u: Float[Array, "*batch n"]) -> Float[Array, "*batch groups size"]:
        if u.shape[-1] % self.group_size:
            raise ValueError(f"GroupSoft: {u.shape[-1]} entries do not divide into groups of {self.group_size}")
        return u.reshape(*u.shape[:-1], -1, self.group_size)
