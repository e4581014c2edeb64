"""How far an estimate may be from the signal: what the last layer tells of it without the signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jaxtyping import Array, Float

from unrollbit.algorithms.base import Algorithm
from unrollbit.arrays import norm
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


class LastStep(NamedTuple):
    """The estimate, what the last layer changed (None: not known), and the posterior standard deviation of every
    unknown (None where the shrinkage has none).
    """

    x: Float[Array, "*batch n"]
    change: Float[Array, "*batch n"] | None = None
    deviation: Float[Array, "*batch n"] | None = None


def sizes(net: Any, y: Float[Array, "*batch m"]) -> tuple[LastStep, dict[str, Float[Array, "*batch"]]]:
    """The last step of a network and norms that grow with its error, all of them known without the signal:
    ``measurement`` ||y||, ``residual`` ||y - A x||, ``change`` ||x_K - x_{K-1}||, ``deviation`` (root of the sum of the
    posterior variances).

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> step, found = sizes(Unrolled(AMP(), gaussian(8, 16), depth=3), jnp.ones((2, 8)))
        >>> sorted(found), found["residual"].shape
        (['change', 'deviation', 'measurement', 'residual'], (2,))
    """
    step = net.last_step(y)
    seen = net.operator.accept(y)
    vectors = {
        "measurement": seen,
        "residual": seen - net.operator(step.x),
        "change": step.change,
        "deviation": step.deviation,
    }
    return step, {name: norm(vector) for name, vector in vectors.items() if vector is not None}


def with_variance(algorithm: Algorithm) -> Algorithm | None:
    """The algorithm whose step yields posterior variances in the place of estimates; None where there are none."""
    if not algorithm.shrinkage.has_variance:
        return None
    return replace(algorithm, shrinkage=_Variance(algorithm.shrinkage))


@dataclass(frozen=True)
class _Variance(Shrinkage, abstract=True):
    """The posterior variance of a shrinkage, in its place."""

    shrinkage: Shrinkage

    @property
    def separable(self) -> bool:
        return self.shrinkage.separable

    def scalars(self, weight: Any) -> dict[str, ScalarSpec]:
        return self.shrinkage.scalars(weight)

    def __call__(self, u: Array, scalars: Scalars, tau: Array | float) -> Array:
        return self.shrinkage.posterior_variance(u, scalars, tau)
