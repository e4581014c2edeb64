"""Average derivative of a shrinkage."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.shrinkage.base import Scalars, Shrinkage


def divergence(
    shrinkage: Shrinkage, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float
) -> Float[Array, "*batch"]:
    """``(1/n) sum_j d shrink(u)_j / d u_j``, which AMP's Onsager term needs; ``tau`` is held fixed.

    One directional derivative along the vector of ones gives it, because the Jacobian is diagonal. Raises
    ``ValueError`` for a shrinkage that is not ``separable``.

    Source: Donoho, Maleki and Montanari, "Message-passing algorithms for compressed sensing", PNAS 106 (2009).

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit.shrinkage import Soft
        >>> divergence(Soft(), jnp.array([-3.0, 0.5, 2.0, 0.1]), {"threshold": jnp.array(1.0)}, 1.0)
        Array(0.5, dtype=float32)
    """
    return jnp.mean(derivative(shrinkage, u, scalars, tau), axis=-1)


def derivative(
    shrinkage: Shrinkage, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float
) -> Float[Array, "*batch n"]:
    """``d shrink(u)_j / d u_j`` for every entry. Raises ``ValueError`` for a shrinkage that is not ``separable``."""
    if not shrinkage.separable:
        raise ValueError(f"the divergence of {type(shrinkage).__name__} needs its full Jacobian: it is not separable")
    return jax.jvp(lambda u: shrinkage(u, scalars, tau), (u,), (jnp.ones_like(u),))[1]
