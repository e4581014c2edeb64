"""The sign function and its pseudo-gradients (straight-through surrogates)."""

from __future__ import annotations

import abc
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arrays import over
from unrollbit.specs import Specified


class Surrogate(Specified, abc.ABC):
    """What stands for the derivative of ``sign(w)`` in the backward pass."""

    @abc.abstractmethod
    def derivative(self, w: Float[Array, "..."]) -> Float[Array, "..."]:
        """Pseudo-derivative at the latent values ``w``."""


@dataclass(frozen=True)
class Identity(Surrogate):
    """``1``: the straight-through estimator (Bengio, Leonard, Courville 2013)."""

    def derivative(self, w: Array) -> Array:
        return jnp.ones_like(w)


@dataclass(frozen=True)
class Clipped(Surrogate):
    """``1`` where ``|w| <= limit``, else 0 (Hubara et al. 2016)."""

    limit: float = 1.0

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"Clipped: expected limit > 0, got {self.limit}")

    def derivative(self, w: Array) -> Array:
        return (jnp.abs(w) <= self.limit).astype(w.dtype)


@dataclass(frozen=True)
class SmoothSign(Surrogate):
    """``c (1 - tanh(c w)^2)``, the derivative of ``tanh(c w)`` with ``c = sharpness`` (LittleBit, arXiv 2506.13771).

    ``relative`` measures w in units of the latents' mean magnitude, so that the width follows their scale.
    """

    sharpness: float = 100.0
    relative: bool = False

    def __post_init__(self) -> None:
        if not self.sharpness > 0:
            raise ValueError(f"SmoothSign: expected sharpness > 0, got {self.sharpness}")

    def derivative(self, w: Array) -> Array:
        unit = jnp.mean(jnp.abs(w)) if self.relative else jnp.ones((), w.dtype)
        return self.sharpness * (1.0 - jnp.tanh(over(self.sharpness * w, unit)) ** 2)


@dataclass(frozen=True)
class TanhSign(Surrogate):
    """``1.001 - tanh(w)^2``, never zero (OneBit, arXiv 2402.11295)."""

    def derivative(self, w: Array) -> Array:
        return 1.001 - jnp.tanh(w) ** 2


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def binarise(w: Float[Array, "..."], surrogate: Surrogate) -> Float[Array, "..."]:
    """``sign(w)`` with ``sign(0) = +1``; the derivative is the surrogate's.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> binarise(jnp.array([-0.5, 0.0, 2.0]), Identity())
        Array([-1.,  1.,  1.], dtype=float32)
        >>> jax.grad(lambda w: binarise(w, Clipped()).sum())(jnp.array([-0.5, 2.0]))
        Array([1., 0.], dtype=float32)
    """
    return jnp.where(w >= 0, 1.0, -1.0).astype(w.dtype)


@binarise.defjvp
def _binarise_jvp(surrogate: Surrogate, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (w,), (dw,) = primals, tangents
    return binarise(w, surrogate), surrogate.derivative(w) * dw
