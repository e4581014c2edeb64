"""The level of each signal, which thresholds and regularisation follow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.algorithms.base import Scalars, State
from unrollbit.arrays import norm
from unrollbit.pytrees import known, register_numbers
from unrollbit.scalars import ScalarSpec
from unrollbit.specs import Specified


class LevelRule(Specified):
    """The family of ``Levels``."""


@register_numbers
@dataclass(frozen=True)
class Levels(LevelRule):
    """Thresholds of each signal in proportion to powers of two levels of it::

        tau = (s / unit)^alpha (sqrt(r^2 + (floor s)^2) / (share unit))^beta,     rho <- rho (s / unit)^(2 gamma)

    r is the root mean square of the last data step's correction, which falls as the estimate settles; s is that of the
    first estimate (``of = "signal"``), or an estimate of the standard deviation of white noise in it (``"noise"``): the
    mean magnitude of its second differences along all axes, ``sqrt(pi/2)`` times that over their norm.

    Scalars: ``alpha``, ``beta``, ``gamma`` (free), ``floor`` > 0.

    Args:
        unit: a typical s of the training signals, in their unit: there tau is about 1.
        share: a typical r, as a share of it.
        of: "signal" or "noise".
        alpha, beta, gamma, floor: at the start.

    Source: Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64 (1996).
    """

    unit: float = 1.0
    share: float = 0.05
    of: Literal["signal", "noise"] = "signal"
    alpha: float = 0.4
    beta: float = 0.3
    gamma: float = 0.5
    floor: float = 0.02

    def __post_init__(self) -> None:
        for name in ("unit", "share", "floor"):
            value = getattr(self, name)
            if known(value) and not 0 < value < math.inf:
                raise ValueError(f"Levels {name}: expected a finite number > 0, got {value}")

    def scalars(self) -> dict[str, ScalarSpec]:
        """Those of the class."""
        exponents = {name: ScalarSpec(getattr(self, name)) for name in ("alpha", "beta", "gamma")}
        return {**exponents, "floor": ScalarSpec(self.floor, "positive")}

    def start(self, x: Float[Array, "*batch n"], signal_shape: tuple[int, ...]) -> State:
        """The levels of a first estimate, relative to ``unit``."""
        level = noise_deviation(x, signal_shape) if self.of == "noise" else root_mean_square(x)
        return {"level": level / self.unit, "correction": jnp.zeros_like(level)}

    def follow(self, state: State, correction: Float[Array, "*batch n"]) -> State:
        """The levels after a data step."""
        return {"level": state["level"], "correction": root_mean_square(correction) / self.unit}

    def threshold(self, state: State, s: Scalars) -> Float[Array, "*batch 1"]:
        """tau."""
        level = _positive(state["level"])
        moved = norm(jnp.concatenate([state["correction"], s["floor"] * level], -1), keepdims=True) / self.share
        return level ** s["alpha"] * moved ** s["beta"]

    def weight(self, state: State, s: Scalars) -> Float[Array, "*batch 1"]:
        """rho."""
        return s["rho"] * _positive(state["level"]) ** (2 * s["gamma"])


def root_mean_square(x: Float[Array, "*batch n"]) -> Float[Array, "*batch 1"]:
    """Of each signal."""
    return norm(x, keepdims=True) / math.sqrt(x.shape[-1])


def noise_deviation(x: Float[Array, "*batch n"], signal_shape: tuple[int, ...]) -> Float[Array, "*batch 1"]:
    """The standard deviation of white noise on a smooth signal, from its second differences along all axes.

    Example:
        >>> import jax
        >>> x = jnp.linspace(0.0, 1.0, 4096) + 0.1 * jax.random.normal(jax.random.key(0), (4096,))
        >>> f"{float(noise_deviation(x, (64, 64))[0]):.2f}"
        '0.10'
    """
    image, taps = x.reshape(*x.shape[:-1], *signal_shape), 1.0
    for axis in range(-len(signal_shape), 0):
        image = jnp.diff(image, 2, axis)
        taps = taps * 6.0  # squared norm of [1, -2, 1]
    axes = tuple(range(-len(signal_shape), 0))
    return math.sqrt(math.pi / 2 / taps) * jnp.mean(jnp.abs(image), axes)[..., None]


def _positive(level: Array) -> Array:
    """1 for the level of a zero signal: every threshold of it is right."""
    return jnp.where(level > 0, level, 1)
