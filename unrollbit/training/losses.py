"""Training losses: plain functions of the estimates of all layers, as frozen dataclasses."""

from __future__ import annotations

import abc
from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.specs import Specified


class Loss(Specified, abc.ABC):
    """``loss(estimates, x, teacher)``: a scalar.

    ``estimates`` (K, batch, n) are those of all layers, or (1, batch, n) of the last one where ``per_layer`` is
    False; ``teacher`` has the same shape, or is None.
    """

    per_layer: bool = True
    needs_teacher: bool = False

    @abc.abstractmethod
    def __call__(
        self, estimates: Float[Array, "K batch n"], x: Float[Array, "batch n"], teacher: Array | None
    ) -> Float[Array, ""]: ...


def _batch_nmse(estimates: Float[Array, "K batch n"], target: Float[Array, "... batch n"]) -> Float[Array, " K"]:
    error = jnp.sum((estimates - target) ** 2, axis=(-2, -1))
    return error / jnp.maximum(jnp.sum(target**2, axis=(-2, -1)), 1e-20)


@dataclass(frozen=True)
class LayerwiseLogNMSE(Loss):
    """``sum_k w_k log10(NMSE_k + floor)`` over layers, NMSE_k of the batch; ``w_K = last``, all others 1.

    Every layer pulls, and each at its own size: errors that differ by ten orders of magnitude count alike.
    """

    last: float = 4.0
    floor: float = 1e-13

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        logs = jnp.log10(_batch_nmse(estimates, x) + self.floor)
        return jnp.sum(logs[:-1]) + self.last * logs[-1]


@dataclass(frozen=True)
class LogNMSE(Loss):
    """``log10(NMSE_K + floor)`` of the last layer."""

    floor: float = 1e-13
    per_layer: bool = False

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        return jnp.log10(_batch_nmse(estimates[-1:], x)[0] + self.floor)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """``mean ||x_K - x||^2 / n`` of the last layer, or the sum of it over all layers (``per_layer``)."""

    per_layer: bool = False

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        return jnp.sum(jnp.mean((estimates - x) ** 2, axis=(-2, -1)))


@dataclass(frozen=True)
class Distillation(Loss):
    """``base(estimates, x) + weight * sum_k NMSE(x_k, teacher's x_k)``: agreement with a teacher, layer by layer.

    Needs ``fit(..., teacher=network)`` of at least the same depth. After Xu et al. (OneBit, arXiv 2402.11295),
    section 3.4.
    """

    base: Loss = LayerwiseLogNMSE()
    weight: float = 1.0
    needs_teacher: bool = True

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        if teacher is None:
            raise ValueError("Distillation: no teacher; pass fit(..., teacher=network)")
        return self.base(estimates, x, None) + self.weight * jnp.sum(_batch_nmse(estimates, teacher))
