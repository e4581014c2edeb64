"""S6, C8: what is proven of networks with a learned filter prior: Lipschitz constants, and convergence of their last
layer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float

from unrollbit.networks import Network
from unrollbit.operators import LinearOperator
from unrollbit.theory.prediction.held_out import HeldOut
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable, upper_bound

_LARGEST = 2500  # unknowns: an eigenvalue of a matrix of this size takes seconds
_LARGEST_SVD = 2**23  # entries of A
_SIGNALS, _REPEATS = 20, 12
_SETTLED = 1e-9  # of the size of an estimate: differences below are rounding
PRIOR = "the layers are steps with a learned prior, its influence functions with known slopes"
SMALL = "the grid is small enough for exact norms"
EXACT = "the data steps are exact inverses of known singular values"
CONVEX = "influence functions rise, or fall less than the data term makes up for: the energy is convex"
SHORT = "the prior's step is shorter than 2 / its Lipschitz constant"
PROXIMAL = "the data step is the proximal step of a quadratic"


@dataclass(frozen=True)
class Stage:
    """Exact constants of a layer: ``prior`` of ``v -> v - K^T phi(K v)``, whose gradient has the constant ``steepest``,
    ``data`` of ``u -> u - step B(A u - y)`` in u and ``gain`` in y; ``least`` is the smallest eigenvalue of its matrix.
    """

    prior: float
    steepest: float
    data: float
    gain: float
    least: float


def filter_gain(taps: Float[np.ndarray, "*taps C"], weights: Float[np.ndarray, " C"], shape: tuple[int, ...]) -> float:
    """``max_f sum_c w_c |h_c(f)|^2``, the norm of ``K^T diag(w) K`` for filters h_c on a periodic grid; exact, by the
    discrete Fourier transform.

    Example:
        >>> filter_gain(np.array([[-1.0], [1.0]]), np.ones(1), (8,))  # of differences
        4.0
    """
    axes = tuple(range(len(shape)))
    transfer = np.fft.fftn(np.asarray(taps, np.float64), s=shape, axes=axes)
    return float((np.abs(transfer) ** 2 @ np.asarray(weights, np.float64)).max())


def stages(net: Network) -> list[Stage]:
    """The constants of every layer of a network for which ``assumed`` holds, on its own grid with its own border, by
    exact eigenvalues.
    """
    steps = net.prior_steps
    if steps is None:
        raise ValueError(f"stages: expected steps with a learned prior, got a {net.method}")
    s = _singular_values(net.operator)
    if s is None:
        raise ValueError(f"stages: the singular values of {net.operator} are not known")
    bank, found = net.maps["K"], []
    for k in range(net.depth):
        K = bank.layer(k % bank.copies)
        steepest = _extreme(K, steps.highest[k], largest=True)
        flattest = 0.0 if steps.convex else _extreme(K, steps.lowest[k], largest=False)
        damped = s**2 + steps.rho[k] * s.max() ** 2
        kept = 1 - steps.step[k] * s**2 / damped
        prior, gain = max(1 - flattest, steepest - 1), (steps.step[k] * s / damped).max()
        found.append(Stage(prior, steepest, float(np.abs(kept).max()), float(gain), float(kept.min())))
    return found


def lipschitz_constant(net: Network) -> float:
    """``||f(y) - f(y')|| <= L ||y - y'||`` for all measurements::

        L_0 = ||B_0||,  L_{k+1} = d_k g_k (|1 + m_k| L_k + |m_k| L_{k-1}) + step_k ||B_k||

    with g_k, d_k the constants of the prior's and of the data step and m_k the momentum.
    """
    steps, s = net.prior_steps, _singular_values(net.operator)
    if steps is None or s is None:
        raise ValueError(f"lipschitz_constant: expected a network for which assumed(net) holds, got a {net.method}")
    before = now = float((s / (s**2 + steps.rho[0] * s.max() ** 2)).max())
    for momentum, stage in zip(steps.momentum, stages(net), strict=True):
        moved = stage.data * stage.prior * (abs(1 + momentum) * now + abs(momentum) * before)
        before, now = now, moved + stage.gain
    return now


@theorem(
    "stability",
    "Lipschitz recursion with a learned filter prior",
    "Lipschitz constant",
    on=HeldOut,
    examine=lambda at: S6(at),
    meaning="no change of y is amplified more than {bound:.3g} times",
)
def S6(held: HeldOut) -> Report:
    """Certified Lipschitz constant of a network with a filter prior, ``lipschitz_constant``: with slopes of phi in
    [0, h] the step of the prior is nonexpansive where ``||K^T diag(h) K|| <= 2``; every stage has an exact constant.

    Measured at random changes of the held-out measurements, and between them. Vacuous from the median of
    ``||f(y)|| / ||y - y'||`` over the random changes.
    """
    assumptions = assumed(held.net)
    if not all(assumptions.values()):
        return not_applicable("S6", assumptions)
    y = np.asarray(held.y[:_SIGNALS], np.float64)
    moved, size = held.moved
    moved = moved[:_SIGNALS]
    first, second = (_run(held.net, values) for values in (y, moved))
    near = np.linalg.norm(second - first, axis=1) / np.linalg.norm(moved - y, axis=1)
    far = np.linalg.norm(first[1:] - first[:-1], axis=1) / np.linalg.norm(y[1:] - y[:-1], axis=1)
    trivial = float(np.median(np.linalg.norm(first, axis=1)) / size)
    measured = float(np.concatenate([near, far]).max())
    return upper_bound("S6", lipschitz_constant(held.net), measured, trivial, assumptions, size=trivial)


@theorem(
    "convergence",
    "the last layer repeated converges to the minimum of a convex energy",
    "contraction per layer",
    on=HeldOut,
    examine=lambda at: C8(at),
    meaning="its last layer repeated converges, by a factor of {bound:.3g} a layer at least",
)
def C8(held: HeldOut) -> Report:
    """The last layer without its momentum, repeated: a gradient step of the prior, then the proximal step of a
    quadratic: ``I - step B A`` is one where its eigenvalues, which are at most 1, are positive. Each change is at most
    ``d g`` times the one before. Below 1 it converges to the one minimum of the sum of both, which is convex. At 1 that
    needs influence functions that rise and ``||K^T diag(h) K|| < 2``: then the step of the prior is averaged.

    Measured on the successive changes of a few signals. Vacuous above 1; at 1 changes never grow. Sources: Combettes,
    Wajs, Multiscale Model. Simul. 4 (2005); Goujon et al., "A neural-network-based convex regularizer", IEEE Trans.
    Comput. Imaging 9 (2023), and "Learning weakly convex regularizers", SIAM J. Imaging Sci. 17 (2024).
    """
    assumptions = assumed(held.net)
    steps = held.net.prior_steps
    if steps is None or not all(assumptions.values()):
        return not_applicable("C8", assumptions)
    last = stages(held.net)[-1]
    bound = last.data * last.prior
    assumptions |= {CONVEX: steps.convex or bound < 1, SHORT: last.steepest < 2, PROXIMAL: last.least > 0}
    if not all(assumptions.values()):
        return not_applicable("C8", assumptions)
    changes, sizes = _repeated(held.net, np.asarray(held.y[: max(1, _SIGNALS // 5)], np.float64))
    alive = changes[:-1] > _SETTLED * sizes
    measured = float(np.max(np.where(alive, changes[1:] / np.where(alive, changes[:-1], 1), 0.0)))
    return upper_bound("C8", bound, measured, math.nextafter(1.0, 2.0), assumptions, size=1.0)


def assumed(net: Network) -> dict[str, bool]:
    """What the statements need of a network."""
    if net.prior_steps is None:
        return {PRIOR: False}
    small = net.operator.shape[1] <= _LARGEST
    return {PRIOR: True, SMALL: small, EXACT: small and _inverts(net.operator)}


def _singular_values(A: LinearOperator) -> np.ndarray | None:
    """All that differ."""
    m, n = A.shape
    if (constant := A.frame_constant) is not None:
        return np.array([math.sqrt(constant)] if m == n else [math.sqrt(constant), 0.0])
    if m * n > _LARGEST_SVD:
        return None
    s = np.linalg.svd(np.asarray(A.dense(), np.float64), compute_uv=False)
    return s if m >= n else np.append(s, 0.0)


def _inverts(A: LinearOperator) -> bool:
    """Whether ``A.inverse()`` is the regularised inverse, at random measurements (others estimate, or iterate)."""
    if _singular_values(A) is None:
        return False
    with jax.enable_x64(True):
        r = jnp.asarray(np.random.RandomState(0).standard_normal((2, A.shape[0])))
        for rho in (0.03, 1.0):
            x = A.inverse()(r, jnp.asarray(rho))
            back = A.T(A(x)) + rho * float(A.norm()) ** 2 * x - A.T(r)
            if not float(jnp.linalg.norm(back)) <= 1e-3 * float(jnp.linalg.norm(A.T(r))):
                return False
    return True


def _extreme(K: LinearOperator, weights: Float[np.ndarray | Array, " C"], *, largest: bool) -> float:
    """The largest, or the smallest, eigenvalue of ``K^T diag(w) K``."""
    n = K.shape[1]
    with jax.enable_x64(True):
        rows = np.repeat(np.asarray(weights, np.float64), K.shape[0] // len(weights))
        wide = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), K)
        parts = [
            np.asarray(wide.T(jnp.asarray(rows) * wide(jnp.asarray(np.eye(n)[i : i + 200])))) for i in range(0, n, 200)
        ]
    gram = np.concatenate(parts)
    place = n - 1 if largest else 0
    return float(scipy.linalg.eigh((gram + gram.T) / 2, eigvals_only=True, subset_by_index=[place, place])[0])


def _run(net: Network, y: Float[np.ndarray, "N m"]) -> Float[np.ndarray, "N n"]:
    with jax.enable_x64(True):
        return np.asarray(_forward()(net, jnp.asarray(y, jnp.float64)), np.float64)


def _repeated(net: Any, y: Float[np.ndarray, "N m"]) -> tuple[Float[np.ndarray, "repeats N"], Float[np.ndarray, " N"]]:
    """Norms of the successive changes of the last layer, repeated without momentum, and of the estimate."""
    with jax.enable_x64(True):
        seen, A = net.physical(jnp.asarray(y, jnp.float64))
        inputs, step = net.layers(net.depth, seen, A)
        scalars, maps, index = jax.tree.map(lambda a: a[-1], inputs)
        still = {**scalars, "momentum": jnp.zeros_like(scalars["momentum"])}
        x, found = net.algorithm.read(net.start(seen, A)), []
        advance = jax.jit(lambda x: net.algorithm.read(step({"x": x, "previous": x}, (still, maps, index))))
        for _ in range(_REPEATS):
            following = advance(x)
            found.append(np.linalg.norm(np.asarray(following - x), axis=-1))
            x = following
        return np.stack(found), np.linalg.norm(np.asarray(x), axis=-1)


@lru_cache
def _forward() -> Any:
    return jax.jit(lambda net, y: net(y))
