"""Posterior mean of a Bernoulli-Gaussian signal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec, log
from unrollbit.shrinkage.base import Scalars, Shrinkage

_SMALLEST, _LARGEST = 1e-6, 1e18  # of t relative to the standard deviation of the non-zeros: squares stay in float32
_LARGEST_RATIO = 1e12  # of |u| to t: far beyond, the sigmoid is 1; its square stays in float32


@dataclass(frozen=True)
class BernoulliGaussian(Shrinkage):
    """Posterior mean of ``x ~ (1 - p) delta_0 + p N(0, v)`` from ``u = x + t * (standard normal noise)``:

        u / (1 + t^2/v) * sigmoid(a u^2 / (2 t^2 (1 + t^2/v)) - kappa - log(1 + v/t^2) / 2)

    with ``t = max(sigma tau, 1e-6 sqrt(v))``, computed in units of ``sqrt(v)``. Exact where ``a = 1``,
    ``kappa = log((1 - p)/p)``; p is ``sparsity`` (the share of non-zeros), v is ``variance``.

    Scalars: ``gain`` (a > 0, starts at 1), ``log_odds`` (kappa, free), ``noise`` (sigma > 0, starts at ``noise``),
    and with ``learn_variance`` also ``variance`` (v > 0), for signals whose size is not known.

    Source: Bayesian AMP, Donoho, Maleki and Montanari, IEEE Inf. Theory Workshop (2010); Borgerding, Schniter and
    Rangan, "AMP-inspired deep networks for sparse linear inverse problems", IEEE Trans. Signal Process. 65 (2017).

    Example:
        >>> import jax.numpy as jnp
        >>> scalars = {"gain": jnp.array(1.0), "log_odds": jnp.array(0.0), "noise": jnp.array(1.0)}
        >>> BernoulliGaussian(sparsity=0.5)(jnp.array([0.0, 4.0]), scalars, 0.1).round(1)
        Array([0., 4.], dtype=float32)
    """

    sparsity: float = 0.1
    variance: float = 1.0
    noise: float = 1.3
    learn_variance: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.sparsity < 1:
            raise ValueError(f"BernoulliGaussian: sparsity must lie between 0 and 1, got {self.sparsity}")
        if not 0 < self.variance < math.inf:
            raise ValueError(f"BernoulliGaussian: variance must be positive and finite, got {self.variance}")
        if not 0 < self.noise < math.inf:
            raise ValueError(f"BernoulliGaussian: noise must be positive and finite, got {self.noise}")

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        variance = {"variance": ScalarSpec(self.variance, "positive")} if self.learn_variance else {}
        return {
            **variance,
            "gain": ScalarSpec(1.0, "positive"),
            "log_odds": ScalarSpec(log((1 - self.sparsity) / self.sparsity), "free"),
            "noise": ScalarSpec(self.noise, "positive"),
        }

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        wiener, non_zero, _ = self._posterior(u, scalars, tau)
        return (u * wiener * non_zero).astype(u.dtype)

    def posterior_variance(
        self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float
    ) -> Float[Array, "*batch n"]:
        """``q (w t^2 + (1 - q) (w u)^2)``: q the probability that an entry is no zero, ``w = 1 / (1 + t^2/v)``."""
        wiener, non_zero, t = self._posterior(u, scalars, tau)
        return (non_zero * (wiener * t**2 + (1 - non_zero) * (wiener * u) ** 2)).astype(u.dtype)

    def _posterior(self, u: Array, scalars: Scalars, tau: Array | float) -> tuple[Array, Array, Array]:
        """The factor of non-zeros, the probability of being one, and the standard deviation t of the noise."""
        wide = jnp.asarray(u, jnp.result_type(u, jnp.float32))
        deviation = jnp.sqrt(jnp.asarray(scalars["variance"] if self.learn_variance else self.variance, wide.dtype))
        t = jnp.clip(jnp.asarray(scalars["noise"] * tau, wide.dtype) / deviation, _SMALLEST, _LARGEST)
        wiener = 1 / (1 + t**2)
        ratio = jnp.clip(wide * (1 / deviation * (1 / t)), -_LARGEST_RATIO, _LARGEST_RATIO)  # a product each entry
        evidence = scalars["gain"] * wiener * ratio**2 / 2
        non_zero = jax.nn.sigmoid(evidence - scalars["log_odds"] - jnp.log1p(1 / t**2) / 2)
        return wiener, non_zero, deviation * t
