"""Fresh signals of a network: what predictions and held-out certificates are checked on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.problems import Problem
from unrollbit.theory.settings import Settings

_ENTRIES = 2**24  # of the estimates of all layers that are held at once: 64 MB


@dataclass(frozen=True)
class HeldOut:
    """A network, ``N`` signals that it was not trained on and their measurements; zero signals are left out.

    The first half makes certificates, the second half checks them: ``first`` and ``second`` are slices.
    """

    net: Network
    problem: Problem
    x: Float[np.ndarray, "N n"]
    y: Float[np.ndarray, "N m"]
    settings: Settings

    @classmethod
    def of(cls, net: Network, problem: Problem, settings: Settings) -> Self:
        """Twice ``settings.held_out`` test signals: fresh ones, or of a data set as many as there are, shuffled.

        Raises ``ValueError`` where fewer than four differ from zero.
        """
        test, count = problem.split("test"), 2 * settings.held_out
        held = test.all()
        if held is None:
            held = test.sample(jax.random.fold_in(jax.random.key(settings.seed), 3), count)
        x, y = (np.asarray(part) for part in held)
        kept = np.random.RandomState(settings.seed).permutation(np.flatnonzero(np.any(x != 0, axis=1)))[:count]
        if len(kept) < 4:
            raise ValueError(f"held-out signals: expected at least 4 other than zero, got {len(kept)}")
        return cls(net, problem, x[kept], y[kept], settings)

    @property
    def first(self) -> slice:
        """The signals that certificates are made of."""
        return slice(0, len(self.x) // 2)

    @property
    def second(self) -> slice:
        """The signals that they are checked on."""
        return slice(len(self.x) // 2, None)

    @cached_property
    def nmse(self) -> Float[np.ndarray, "K N"]:
        """``relative_errors`` of all signals."""
        return relative_errors(self.net, self.x, self.y)


def relative_errors(net: Network, x: Float[np.ndarray, "N n"], y: Float[np.ndarray, "N m"]) -> Float[np.ndarray, "K N"]:
    """``||x_k - x||^2 / ||x||^2`` of every layer (one row where the network has no estimates per layer)."""
    layers = net.depth if net.estimates_per_layer else 1
    size = max(1, _ENTRIES // (layers * x.shape[1]))
    parts = []
    for begin in range(0, len(x), size):
        part = slice(begin, begin + size)
        estimates = np.asarray(_forward(net, jnp.asarray(y[part])))
        parts.append(_nmse(estimates if net.estimates_per_layer else estimates[None], x[part]))
    return np.concatenate(parts, axis=1)


def decibels(nmse: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """In dB, no lower than rounding in float32 goes."""
    return 10 * np.log10(np.maximum(nmse, np.finfo(np.float32).eps ** 2))


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y, iterates=net.estimates_per_layer)


def _nmse(estimates: Float[np.ndarray, "K N n"], x: Float[np.ndarray, "N n"]) -> Float[np.ndarray, "K N"]:
    wide = np.asarray(x, np.float64)
    errors = np.stack([((np.asarray(layer, np.float64) - wide) ** 2).sum(-1) for layer in estimates])
    return errors / (wide**2).sum(-1)
