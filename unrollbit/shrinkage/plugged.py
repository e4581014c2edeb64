"""Plug-and-play: any denoiser in the place of a shrinkage."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage.base import Scalars, Shrinkage


@dataclass(frozen=True)
class Plugged(Shrinkage, abstract=True):
    """``denoiser(u, sigma)``: white noise of standard deviation ``sigma`` is removed from ``u``.

    The denoiser gets one signal at a time or a batch of them, of shape ``(*batch, *signal_shape)`` (``None``: flat, of
    n entries), and returns an array of that shape. It is a function of JAX, or with ``on_host`` one of NumPy, called
    for one signal at a time from the compiled program; nothing differentiates through that. ``sigma = sqrt(weight)
    tau``: the proximal step with weight step x lambda removes noise of that variance.

    It is a Python object, which no file can hold: for solvers, not for networks that are saved.

    Source: Venkatakrishnan, Bouman and Wohlberg, "Plug-and-play priors for model based reconstruction", GlobalSIP 2013.
    """

    denoiser: Callable[[Any, Any], Any]
    signal_shape: tuple[int, ...] | None = None
    on_host: bool = False
    separable = False

    def scalars(self, weight: float | Float[Array, ""]) -> dict[str, ScalarSpec]:
        deviation = math.sqrt(weight) if isinstance(weight, int | float) else jnp.sqrt(weight)
        return {"sigma": ScalarSpec(deviation, "nonnegative")}

    def __call__(self, u: Float[Array, "*batch n"], scalars: Scalars, tau: Array | float) -> Float[Array, "*batch n"]:
        shape = u.shape if self.signal_shape is None else (*u.shape[:-1], *self.signal_shape)
        sigma = jnp.asarray(scalars["sigma"] * tau, u.dtype)
        if not self.on_host:
            return jnp.asarray(self.denoiser(u.reshape(shape), sigma)).reshape(u.shape).astype(u.dtype)

        def one(signal: np.ndarray, deviation: np.ndarray) -> np.ndarray:
            cleaned = self.denoiser(np.asarray(signal), float(np.asarray(deviation).ravel()[0]))
            return np.asarray(cleaned, signal.dtype).reshape(signal.shape)

        inside = shape[len(u.shape) - 1 :]
        result = jax.ShapeDtypeStruct(inside, u.dtype)
        sigmas = jnp.broadcast_to(sigma if sigma.ndim == 0 else sigma[..., 0], u.shape[:-1]).reshape(-1)
        cleaned = jax.lax.map(
            lambda pair: jax.pure_callback(one, result, *pair, vmap_method="sequential"),
            (u.reshape(-1, *inside), sigmas),
        )
        return cleaned.reshape(u.shape)
