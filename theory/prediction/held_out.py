"""Fresh signals of a network: what predictions and held-out certificates are checked on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.networks import Network, sizes
from unrollbit.packed.error_bar import ErrorBar
from unrollbit.problems import Problem
from unrollbit.theory.settings import Settings

_LEAST = 299  # signals that a limit for 99 % of them with a confidence of 95 % takes
_ENTRIES = 2**24  # of the estimates of all layers that are held at once: 64 MB


@dataclass(frozen=True)
class HeldOut:
    """A network, ``N`` signals that it was not trained on and their measurements; zero signals are left out.

    The first half makes certificates, the second half checks them: ``first`` and ``second`` are slices. ``chosen`` are
    validation signals, with which the size of error bars is chosen.
    """

    net: Network
    problem: Problem
    x: Float[np.ndarray, "N n"]
    y: Float[np.ndarray, "N m"]
    chosen: tuple[Float[np.ndarray, "C n"], Float[np.ndarray, "C m"]]
    settings: Settings

    @classmethod
    def of(cls, net: Network, problem: Problem, settings: Settings) -> Self:
        """Twice ``settings.held_out`` test signals: fresh ones, or of a data set as many as there are, shuffled.

        Raises ``ValueError`` where fewer than four differ from zero.
        """
        x, y = _drawn(problem.split("test"), 2 * settings.held_out, settings.seed)
        if len(x) < 4:
            raise ValueError(f"held-out signals: expected at least 4 other than zero, got {len(x)}")
        chosen = _drawn(problem.split("validation"), max(2, settings.held_out // 2), settings.seed)
        return cls(net, problem, x, y, chosen, settings)

    @property
    def first(self) -> slice:
        """The signals that certificates are made of."""
        return slice(0, self._half)

    @property
    def second(self) -> slice:
        """The signals that they are checked on."""
        return slice(self._half, None)

    @property
    def _half(self) -> int:
        """Of few signals more than half, so that certificates can be made."""
        return max(len(self.x) // 2, min(_LEAST, 4 * len(self.x) // 5))

    @cached_property
    def nmse(self) -> Float[np.ndarray, "K N"]:
        """``relative_errors`` of all signals."""
        return relative_errors(self.net, self.x, self.y)

    @cached_property
    def moved(self) -> tuple[Float[np.ndarray, "N m"], float]:
        """Measurements, each moved in a random direction by the same distance, and that distance: ``radius`` times the
        root mean square of ||y||.
        """
        y = np.asarray(self.y, np.float64)
        distance = self.settings.radius * math.sqrt(float(np.mean(np.sum(y**2, axis=1))))
        directions = np.random.RandomState(self.settings.seed).standard_normal(y.shape)
        return y + distance * directions / np.linalg.norm(directions, axis=1, keepdims=True), distance

    @cached_property
    def sizes(self) -> Sized:
        """Errors and sizes of all signals."""
        return sized(self.net, self.x, self.y)


@dataclass(frozen=True)
class Sized:
    """Errors of signals ``||x^ - x||``, (N,), or of their samples ``|x^_i - x_i|``, (N, n), and sizes that tell of them
    without the signal (``unrollbit.networks.sizes``, ``local_sizes``).
    """

    errors: Float[np.ndarray, "*signals"]
    sizes: dict[str, Float[np.ndarray, "*signals"]]

    def part(self, part: slice) -> Sized:
        """Those of some signals."""
        return Sized(self.errors[part], {name: values[part] for name, values in self.sizes.items()})

    def scores(self, bar: ErrorBar) -> Float[np.ndarray, "*signals"]:
        """Errors over the bars before calibration; NaN counts as infinite."""
        scores = self.errors / np.asarray(bar.size({name: jnp.asarray(size) for name, size in self.sizes.items()}))
        return np.where(np.isnan(scores), np.inf, scores)


def sized(net: Network, x: Float[np.ndarray, "N n"], y: Float[np.ndarray, "N m"]) -> Sized:
    """Run a network and look at its last step."""

    def run(x: np.ndarray, y: np.ndarray) -> Sized:
        estimates, norms = _sizes(net, jnp.asarray(y))
        errors = np.linalg.norm(np.asarray(estimates, np.float64) - x, axis=-1)
        return Sized(errors, {name: np.asarray(values, np.float64) for name, values in norms.items()})

    return in_parts(run, x, y, max(1, _ENTRIES // (8 * max(net.operator.shape))))


def in_parts(run: Callable[[np.ndarray, np.ndarray], Sized], x: np.ndarray, y: np.ndarray, together: int) -> Sized:
    """What ``run`` gives of all signals, of so many together."""
    parts = [run(x[begin : begin + together], y[begin : begin + together]) for begin in range(0, len(x), together)]
    sizes = {name: np.concatenate([part.sizes[name] for part in parts]) for name in parts[0].sizes}
    return Sized(np.concatenate([part.errors for part in parts]), sizes)


def _drawn(
    problem: Problem, count: int, seed: int
) -> tuple[Float[np.ndarray, "count n"], Float[np.ndarray, "count m"]]:
    """``count`` pairs of a subset in random order (fewer where a data set has fewer), signals of zeros left out."""
    held = problem.all()
    if held is None:
        held = problem.sample(jax.random.fold_in(jax.random.key(seed), 3), count)
    x, y = (np.asarray(part) for part in held)
    kept = np.random.RandomState(seed).permutation(np.flatnonzero(np.any(x != 0, axis=1)))[:count]
    return x[kept], y[kept]


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
def _sizes(net: Network, y: Array) -> tuple[Array, dict[str, Array]]:
    step, found = sizes(net, y)
    return step.x, found


@jax.jit
def _forward(net: Network, y: Array) -> Array:
    return net(y, iterates=net.estimates_per_layer)


def _nmse(estimates: Float[np.ndarray, "K N n"], x: Float[np.ndarray, "N n"]) -> Float[np.ndarray, "K N"]:
    wide = np.asarray(x, np.float64)
    errors = np.stack([((np.asarray(layer, np.float64) - wide) ** 2).sum(-1) for layer in estimates])
    return errors / (wide**2).sum(-1)
