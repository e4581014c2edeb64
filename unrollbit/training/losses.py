"""Training losses: plain functions of the estimates of all layers, as frozen dataclasses."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import direction, over
from unrollbit.specs import Specified


class Loss(Specified, abc.ABC):
    """``loss(estimates, x, teacher)``: a scalar.

    ``estimates`` (K, batch, n) are those of all layers, or (1, batch, n) of the last one where ``per_layer`` is
    False. ``teacher`` is None unless ``needs_teacher``: (1, batch, n), the output of a teacher, or (K, batch, n) where
    ``teacher_per_layer``, the estimates of its layers 1 to K - 1 and its output.
    """

    per_layer: bool = True
    needs_teacher: bool = False
    teacher_per_layer: bool = False

    @abc.abstractmethod
    def __call__(
        self, estimates: Float[Array, "K batch n"], x: Float[Array, "batch n"], teacher: Array | None
    ) -> Float[Array, ""]: ...


def batch_nmse(estimates: Float[Array, "*K batch n"], target: Float[Array, "*#K batch n"]) -> Float[Array, "*K"]:
    """``sum ||x_k - x||^2 / sum ||x||^2`` over a batch; where x is 0: 0 if x_k is 0 too, else 1, without a gradient."""
    error = jnp.sum((estimates - target) ** 2, axis=(-2, -1))
    energy = jnp.sum(target**2, axis=(-2, -1))
    nothing = jnp.where(error > 0, 1.0, 0.0)
    return jnp.where(energy > 0, over(error, energy), nothing)


@dataclass(frozen=True)
class LayerwiseLogNMSE(Loss):
    """``sum_k w_k log10(NMSE_k + floor)`` over layers, NMSE_k of the batch; ``w_K = last``, all others 1.

    Every layer pulls, and each at its own size: errors that differ by ten orders of magnitude count alike.
    """

    last: float = 4.0
    floor: float = 1e-13

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        logs = jnp.log10(batch_nmse(estimates, x) + self.floor)
        return jnp.sum(logs[:-1]) + self.last * logs[-1]


@dataclass(frozen=True)
class LogNMSE(Loss):
    """``log10(NMSE_K + floor)`` of the last layer."""

    floor: float = 1e-13
    per_layer: bool = False

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        return jnp.log10(batch_nmse(estimates[-1:], x)[0] + self.floor)


@dataclass(frozen=True)
class MeanLogError(Loss):
    """``mean_i log10(||x_K - x||_i^2 / n + floor)`` of the last layer: the mean over signals, as mean PSNR weighs them.

    ``floor`` is in the square of the unit of the loss, which ``fit`` sets to the size of the signals.
    """

    floor: float = 1e-5
    per_layer: bool = False

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        return jnp.mean(jnp.log10(jnp.mean((estimates[-1] - x) ** 2, axis=-1) + self.floor))


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """``mean ||x_K - x||^2 / n`` of the last layer, or the sum of it over all layers (``per_layer``)."""

    per_layer: bool = False

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        return jnp.sum(jnp.mean((estimates - x) ** 2, axis=(-2, -1)))


@dataclass(frozen=True)
class Distillation(Loss):
    """A teacher's output, and agreement with it layer by layer, beside the signals themselves::

        hard * base(estimates, x)  +  output * NMSE(x_K, t)  +  layers * sum_{k < K} agreement(x_k, t_k)

    ``t`` is the output of the teacher, however many layers it has, ``t_k`` the estimate of its layer k. A weight of 0
    switches its term off. ``agreement`` of layer k, over a batch:

    - ``"nmse"``: ``sum ||x_k - t_k||^2 / sum ||t_k||^2``, LittleBit's squared difference in the relative form used
      here (0 where the teacher's layer is 0 for the whole batch).
    - ``"direction"``: ``mean || t_k / ||t_k|| - x_k / ||x_k|| ||^2``, OneBit's: lengths do not count. The direction of
      a zero vector is taken as 0, without a gradient.

    The last layer is not in the sum, as in OneBit (LittleBit has it there too): the output term has it. Both papers
    compare hidden states of a transformer, and its predictions by a KL divergence, where an unrolled network has
    estimates; OneBit weighs the sum with 1, LittleBit with 10.

    Use ``fit(..., teacher=network)``. With ``layers > 0`` teacher and student must have an estimate per layer, and the
    teacher at least the student's depth. With ``layers=0`` and a base that needs the last layer only (``LogNMSE``), any
    network can follow any other of the same measurements.

    Args:
        base: loss of the signals.
        hard, output, layers: weights >= 0, not all 0.
        agreement: of the layers before the last.

    Raises:
        ValueError: a weight below 0 or not finite, all weights 0, an unknown agreement, a base that needs a teacher
            itself; when called, no teacher.

    Sources: Hinton, Vinyals, Dean, arXiv 1503.02531; Xu et al. (OneBit), arXiv 2402.11295, section 3.4; Lee et al.
    (LittleBit), arXiv 2506.13771.

    Example:
        >>> import jax.numpy as jnp
        >>> x = jnp.array([[2.0, 0.0]])
        >>> student, teacher = jnp.stack([x / 2, x]), jnp.stack([x, 2 * x])
        >>> float(Distillation(hard=0.0, output=1.0, layers=1.0)(student, x, teacher))  # 1/4 each
        0.5
        >>> float(Distillation(hard=0.0, output=0.0, layers=1.0, agreement="direction")(student, x, teacher))
        0.0
    """

    base: Loss = LayerwiseLogNMSE()
    hard: float = 1.0
    output: float = 1.0
    layers: float = 1.0
    agreement: Literal["nmse", "direction"] = "nmse"

    def __post_init__(self) -> None:
        for name in ("hard", "output", "layers"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"Distillation {name}: expected a weight >= 0, got {value!r}")
        if not self.hard + self.output + self.layers > 0:
            raise ValueError("Distillation: hard, output and layers are all 0, so nothing is left to train for")
        if self.agreement not in ("nmse", "direction"):
            raise ValueError(f"Distillation agreement: expected nmse or direction, got {self.agreement!r}")
        if not isinstance(self.base, Loss) or self.base.needs_teacher:
            raise ValueError(f"Distillation base: expected a loss of the signals alone, got {self.base!r}")

    @property
    def per_layer(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.layers > 0 or (self.hard > 0 and self.base.per_layer)

    @property
    def needs_teacher(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.output > 0 or self.layers > 0

    @property
    def teacher_per_layer(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.layers > 0

    def __call__(self, estimates: Array, x: Array, teacher: Array | None) -> Array:
        total = jnp.zeros((), estimates.dtype)
        if self.hard > 0:
            total += self.hard * self.base(estimates if self.base.per_layer else estimates[-1:], x, None)
        if not self.needs_teacher:
            return total
        if teacher is None:
            raise ValueError("Distillation: no teacher; pass fit(..., teacher=network)")
        if self.output > 0:
            total += self.output * _followed_nmse(estimates[-1], teacher[-1])
        if self.layers > 0:
            differ = _followed_nmse if self.agreement == "nmse" else _direction_error
            total += self.layers * jnp.sum(differ(estimates[:-1], teacher[:-1]))
        return total


def _followed_nmse(estimates: Float[Array, "*K batch n"], teacher: Float[Array, "*K batch n"]) -> Float[Array, "*K"]:
    """NMSE of the batch relative to the teacher, 0 where that is 0: there is no size to measure by."""
    energy = jnp.sum(teacher**2, axis=(-2, -1))
    return jnp.where(energy > 0, batch_nmse(estimates, teacher), 0.0)


def _direction_error(estimates: Float[Array, "*K batch n"], teacher: Float[Array, "*K batch n"]) -> Float[Array, "*K"]:
    return jnp.mean(jnp.sum((direction(teacher) - direction(estimates)) ** 2, axis=-1), axis=-1)
