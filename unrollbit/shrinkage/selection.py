"""Soft threshold with support selection."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage
from unrollbit.shrinkage.soft import soft


@dataclass(frozen=True)
class SupportSelection(Shrinkage):
    """Soft threshold that lets the largest entries pass unshrunk: layers trust more and more of the support.

        u_j              if |u_j| > tau theta and |u_j| is among the p_k % largest of the signal
        S_{tau theta}(u_j)  otherwise

    Scalars: ``threshold`` (theta >= 0, starts at ``weight``), ``share`` (p_k in per cent of n, one number per layer:
    ``min(share * (k + 1), max_share)`` for ``k = 0, 1, ...``). No gradient flows through the selection, so ``share``
    stays where it starts. Equal magnitudes at the border are all left out.

    Source: Chen, Liu, Wang and Yin, "Theoretical linear convergence of unfolded ISTA and its practical weights and
    thresholds", NeurIPS 2018 (LISTA-CPSS).

    Example:
        >>> import jax.numpy as jnp
        >>> scalars = {"threshold": jnp.array(1.0), "share": jnp.array(25.0)}
        >>> SupportSelection()(jnp.array([-3.0, 0.5, 2.0, 1.5]), scalars, 1.0)
        Array([-3. ,  0. ,  1. ,  0.5], dtype=float32)
    """

    share: float = 1.2
    max_share: float = 13.0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= self.max_share <= 100:
            raise ValueError(
                "SupportSelection: expected 0 <= share <= max_share <= 100 (per cent), "
                f"got share={self.share}, max_share={self.max_share}"
            )

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        def shares(depth: int) -> np.ndarray:
            return np.minimum(self.share * np.arange(1, depth + 1), self.max_share)

        return {"threshold": ScalarSpec(weight, "nonnegative"), "share": ScalarSpec(shares, "nonnegative")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        if jnp.ndim(scalars["share"]) != 0:
            raise ValueError(f"SupportSelection: share is one number, got shape {jnp.shape(scalars['share'])}")
        count = jnp.round(jax.lax.stop_gradient(scalars["share"]) * u.shape[-1] / 100)
        threshold = tau * scalars["threshold"]
        passing = largest(jax.lax.stop_gradient(u), count) & (jnp.abs(u) > threshold)
        return jnp.where(passing, u, soft(u, threshold)).astype(u.dtype)


def largest(u: Float[Array, "*batch n"], count: Array | float) -> Bool[Array, "*batch n"]:
    """Marks the ``count`` largest magnitudes along the last axis (fewer where they tie at the border), in float32.

    Exact bisection on the bits of the threshold: non-negative floats are ordered as their bit patterns are. It costs
    31 counts, in place of a sort, which is an order of magnitude slower on CPUs; ``count`` may be traced.
    """
    bits = jax.lax.bitcast_convert_type(jnp.abs(u).astype(jnp.float32), jnp.int32)

    def set_bit(i: Array, border: Array) -> Array:
        higher = border | jnp.left_shift(jnp.int32(1), 30 - jnp.int32(i))
        return jnp.where(jnp.sum(bits >= higher, axis=-1, keepdims=True) > count, higher, border)

    # `border` ends as the largest pattern that more than `count` entries reach
    border = jax.lax.fori_loop(0, 31, set_bit, jnp.zeros((*u.shape[:-1], 1), jnp.int32))
    return bits > border
