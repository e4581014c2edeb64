"""State evolution: what a first-order method of many unknowns does at every layer, from scalars alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms import FirstOrder
from unrollbit.shrinkage.divergence import derivative

_JITTER = 1e-13  # on the diagonal of a correlation matrix: rounding of its entries

Draws = Float[np.ndarray, "count n"]
Shrink = Callable[[Draws, float, int], tuple[Draws, Draws]]


@dataclass(frozen=True)
class Evolution:
    """NMSE of every layer (ratio of mean squares), and the standard deviation of the entries of ``v``."""

    nmse: Float[np.ndarray, " K"]
    residual: Float[np.ndarray, " K"]

    @property
    def nmse_db(self) -> Float[np.ndarray, " K"]:
        """In decibels."""
        with np.errstate(divide="ignore"):
            return 10 * np.log10(self.nmse)


def state_evolution(
    method: FirstOrder,
    x: Draws,
    *,
    ratio: float,
    noise: float = 0.0,
    scale: float = 1.0,
    gains: Sequence[float] | Float[np.ndarray, " K"] | float = 1.0,
    flips: float = 0.0,
    seed: int = 0,
) -> Evolution:
    """The limit of a first-order method for m, n to infinity at a fixed ratio, by one Monte Carlo run::

        v_t = sum_s V[t,s] p^s + E_t e,                p^s = A f_s,  f_0 = x*, f_{t+1} = z_t of layer t
        A^T v_t = q^t + sum_s V[t,s] f_s,              (q^0 .. q^t) ~ N(0, S) independent of x*
        S_ij = (n/m) E[h_i h_j] + noise E_i E_j,       h_t = sum_s V[t,s] f_s,   tau_t = sqrt(S_tt) / level

    where V gains ``-(n/m) <d z_t / d q^s> V[s, .]`` for every s < t: the Onsager terms that the method lacks.

    Args:
        method: its numbers per layer and its shrinkage, which is separable.
        x: draws of the unknowns, of which all entries count as independent draws of one scalar.
        ratio: m / n.
        noise: variance of the noise of a measurement.
        scale: root mean square a of the column norms of A; its entries are independent of variance a^2 / m.
        gains: factor c with W = c A, of all layers or of each.
        flips: probability with which each sign of W flips, independently in every layer: then ``W^T v`` is
            ``(1 - 2p) W^T v + N(0, 4p(1-p) c^2 a^2 ||v||^2 / m)``.
        seed: seed of the Gaussian variables.

    Raises:
        ValueError: a number out of range, signals that are all zero, or a shrinkage that is not separable.

    Sources: Bayati, Montanari, IEEE Trans. Inf. Theory 57 (2011); Berthier, Montanari, Nguyen, Inf. Inference 9 (2020);
    universality of the entries: Chen, Lam, Electron. J. Probab. 26 (2021).

    Example:
        >>> from unrollbit.shrinkage import Identity
        >>> method = FirstOrder.of(Identity(), {"step": np.ones(1)})  # A^T y: noise of variance (n/m) E x^2
        >>> x = np.random.RandomState(0).standard_normal((100, 100))
        >>> round(float(state_evolution(method, x, ratio=0.5).nmse[0]), 2)
        2.0
    """
    x = np.asarray(x, np.float64)
    if not method.shrinkage.separable:
        raise ValueError(f"state_evolution: {type(method.shrinkage).__name__} is not separable")
    if not (ratio > 0 and noise >= 0 and scale > 0 and 0 <= flips <= 1):
        raise ValueError(
            "state_evolution: expected ratio, scale > 0, noise >= 0 and flips in [0, 1]; "
            f"got {ratio}, {scale}, {noise}, {flips}"
        )
    if x.ndim != 2 or not np.any(x):
        raise ValueError(f"state_evolution: expected signals (count, n) other than zero, got shape {x.shape}")
    run = _Run(method, _shrink_of(method), scale * x, 1 / ratio, noise, flips, np.random.RandomState(seed))
    K = len(method.step)
    weights = np.broadcast_to(np.asarray(gains, np.float64), (K,)) * scale**2  # W^T A is about this times identity
    energy = float(np.mean(run.f[0] ** 2))
    nmse = np.empty(K)
    for t in range(K):
        run.layer(t, float(weights[t]), scale)
        nmse[t] = float(np.mean((run.x - run.f[0]) ** 2)) / energy
    return Evolution(nmse, np.sqrt(np.diag(run.S)))


class _Run:
    """The state of the recursion, for estimates and slopes times the scale of A (so that A has unit columns)."""

    def __init__(
        self,
        method: FirstOrder,
        shrink: Shrink,
        x: Draws,
        aspect: float,
        noise: float,
        flips: float,
        random: np.random.RandomState,
    ) -> None:
        self.method, self.shrink, self.random = method, shrink, random
        self.aspect, self.noise, self.flips = aspect, noise, flips
        K = len(method.step)
        self.f = [x]
        self.x = self.previous = np.zeros_like(x)
        self.slopes: list[np.ndarray] = []  # d x_t / d q^s for s < t, in single precision: only averages are taken
        self.before: list[np.ndarray] = []  # of x_{t-1}
        self.seen: list[list[np.ndarray]] = []  # of z_0 .. z_t
        self.V, self.E, self.S = np.zeros((K, K + 1)), np.zeros(K), np.zeros((K, K))
        self.h: list[np.ndarray] = []
        self.q: list[np.ndarray] = []
        self.drawn: list[np.ndarray] = []
        self.memory = 0.0

    def layer(self, t: int, weight: float, scale: float) -> None:
        """One layer; ``weight`` is the mean of the diagonal of W^T A."""
        method = self.method
        ahead, momentum = method.extrapolation[t], method.momentum[t]
        z = self.x + ahead * (self.x - self.previous)
        z_slopes = _combined(1 + ahead, self.slopes, -ahead, self.before)
        self.f.append(z)
        self.seen.append(z_slopes)
        self._residual(t)
        self._draw(t)
        step = method.step[t] * weight
        kept = step * (1 - 2 * self.flips)
        level = math.sqrt(self.S[t, t])
        u = z + momentum * (self.x - self.previous) + kept * (self.q[t] + self.h[t])
        if self.flips:
            spread = step * math.sqrt(4 * self.flips * (1 - self.flips)) * level
            u += spread * self.random.standard_normal(u.shape)
        slopes = [
            each + np.float32(momentum) * change
            for each, change in zip(z_slopes, _combined(1.0, self.slopes, -1.0, self.before), strict=True)
        ]
        for s in range(t):
            for k in range(s + 1, t + 1):  # z_k depends on q^s for s < k
                slopes[s] = slopes[s] + np.float32(kept * self.V[t, k + 1]) * self.seen[k][s]
        slopes.append(np.full_like(u, kept, np.float32))
        tau = 1.0 if method.level is None else level / method.level
        estimate, slope = self.shrink(u / scale, tau, t)
        slope32 = slope.astype(np.float32)
        self.memory = self.aspect * float(slope.mean())
        self.before, self.slopes = self.slopes, [each * slope32 for each in slopes]
        self.previous, self.x = self.x, scale * estimate

    def _residual(self, t: int) -> None:
        """``v_t`` in the p^s and e: row t of V and E; its part h_t that is not noise."""
        V, E, memory = self.V, self.E, self.method.memory
        V[t, 0] = E[t] = 1.0
        V[t, t + 1] = -1.0
        for s in range(t):
            onsager = self.aspect * float(self.seen[t][s].mean(dtype=np.float64))
            V[t] -= onsager * V[s]
            E[t] -= onsager * E[s]
        if t:
            b = self.memory if memory is None else memory[t]
            V[t] += b * V[t - 1]
            E[t] += b * E[t - 1]
        h = np.zeros_like(self.f[0])
        for s, f in enumerate(self.f):
            h += V[t, s] * f
        self.h.append(h)

    def _draw(self, t: int) -> None:
        """``q^t`` given q^0 .. q^{t-1}, and row t of S."""
        S = self.S
        for s in range(t + 1):
            common = self.aspect * float(np.mean(self.h[t] * self.h[s])) + self.noise * self.E[t] * self.E[s]
            S[t, s] = S[s, t] = common
        q, variance = np.zeros_like(self.f[0]), S[t, t]
        fresh = self._fresh()
        if t and variance > 0:
            sizes = np.sqrt(np.maximum(np.diag(S)[: t + 1], np.finfo(np.float64).tiny))
            correlation = S[: t + 1, : t + 1] / np.outer(sizes, sizes)
            inner = correlation[:t, :t] + _JITTER * np.eye(t)
            share = np.linalg.solve(inner, correlation[:t, t])
            for s in range(t):
                q += share[s] * (sizes[t] / sizes[s]) * self.q[s]
            variance *= max(0.0, 1 - float(correlation[:t, t] @ share))
        self.q.append(q + math.sqrt(variance) * fresh)
        self.drawn.append(fresh)

    def _fresh(self) -> Draws:
        """Standard normal variables, their mean square 1 and uncorrelated with those before and with x* in this sample
        too: the sample then has the covariances of the limit.
        """
        z = self.random.standard_normal(self.f[0].shape)
        z -= z.mean()
        for other in (self.f[0], *self.drawn):
            z -= float(np.mean(z * other) / np.mean(other * other)) * other
        return z / math.sqrt(float(np.mean(z * z)))


def _combined(a: float, first: Sequence[np.ndarray], b: float, second: Sequence[np.ndarray]) -> list[np.ndarray]:
    """``a first_s + b second_s``; ``second`` has one entry less (or none): x_{t-1} depends on fewer variables."""
    found = [np.float32(a) * each for each in first]
    for s, each in enumerate(second):
        found[s] = found[s] + np.float32(b) * each
    return found


def _shrink_of(method: FirstOrder) -> Shrink:
    """``(u, tau, layer)`` to the estimates and their derivatives with respect to u, float64."""

    @jax.jit
    def both(u: Array, scalars: dict[str, Array], tau: Array) -> tuple[Array, Array]:
        return method.shrinkage(u, scalars, tau), derivative(method.shrinkage, u, scalars, tau)

    def shrink(u: Draws, tau: float, layer: int) -> tuple[Draws, Draws]:
        with jax.enable_x64(True):
            own = {name: jnp.asarray(values[layer]) for name, values in method.scalars.items()}
            estimate, slope = both(jnp.asarray(u), own, jnp.asarray(tau, jnp.float64))
            return np.asarray(estimate), np.asarray(slope)

    return shrink
