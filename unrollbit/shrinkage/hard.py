"""Hard threshold."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


@dataclass(frozen=True)
class Hard(Shrinkage):
    """Hard threshold: ``u`` where ``|u| > tau theta``, else 0; the proximal map of ``(tau theta)^2 / 2 ||x||_0``.

    Scalars: ``threshold`` (theta >= 0, starts at ``sqrt(2 weight)``, which makes it the proximal map of
    ``weight ||x||_0``). The output is piecewise linear with jumps: no gradient reaches the threshold.

    Source: Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81 (1994); Blumensath and
    Davies, J. Fourier Anal. Appl. 14 (2008), for iterative hard thresholding.

    Example:
        >>> import jax.numpy as jnp
        >>> Hard()(jnp.array([-3.0, 0.5, 2.0]), {"threshold": jnp.array(1.0)}, 1.0)
        Array([-3.,  0.,  2.], dtype=float32)
    """

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        return {"threshold": ScalarSpec((2 * weight) ** 0.5, "nonnegative")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        return jnp.where(jnp.abs(u) > tau * scalars["threshold"], u, 0).astype(u.dtype)

    def penalty(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch"]:
        return jnp.sum(x != 0, axis=-1, dtype=x.dtype)
