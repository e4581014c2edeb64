"""Soft threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


def soft(u: Float[Array, "*batch n"], threshold: Array | float) -> Float[Array, "*batch n"]:
    """``sign(u) max(|u| - threshold, 0)``, in the promoted dtype; the gradient at the kinks is 0."""
    return u - jnp.clip(u, -threshold, threshold)


@dataclass(frozen=True)
class Soft(Shrinkage):
    """Soft threshold ``S_{tau theta}(u) = sign(u) max(|u| - tau theta, 0)``, the proximal map of ``tau theta ||x||_1``.

    Scalars: ``threshold`` (theta >= 0, starts at ``weight``).

    Source: Donoho, "De-noising by soft-thresholding", IEEE Trans. Inf. Theory 41 (1995); Daubechies, Defrise and
    De Mol, Comm. Pure Appl. Math. 57 (2004), for ISTA.

    Example:
        >>> import jax.numpy as jnp
        >>> Soft()(jnp.array([-3.0, 0.5, 2.0]), {"threshold": jnp.array(1.0)}, 1.0)
        Array([-2.,  0.,  1.], dtype=float32)
    """

    convex = True

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {"threshold": ScalarSpec(weight, "nonnegative")}

    def thresholds(self, scalars: Mapping[str, np.ndarray]) -> np.ndarray:
        return scalars["threshold"]

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        return soft(u, tau * scalars["threshold"]).astype(u.dtype)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sum(jnp.abs(x), axis=-1)
