"""More layers for hard signals: the last layers again, until the estimate stands still."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from unrollbit.algorithms.base import State, settled
from unrollbit.arguments import instance, integer, number
from unrollbit.arrays import as_signal, norm, widened
from unrollbit.networks.base import Network
from unrollbit.networks.unrolled import Unrolled

_ROUNDS = 4  # per dispatch


class Refined(NamedTuple):
    """Result of ``refine``: estimates, layers that each signal went through, and whether it stands still."""

    x: Float[Array, "*batch n"]
    layers: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


def refine(
    net: Network, y: Num[Array, "*batch m"], *, tolerance: float = 1e-5, layers: int = 256, cycle: int | None = None
) -> Refined:
    """Run the network, then its last layers again and again, for the signals that still move.

    A signal is done when a round changes its estimate (and what else the algorithm iterates) by at most ``tolerance``
    of its norm; its estimate stays as it is from then on. One that never settles gets the estimate of the last layer,
    or the network's own if that fits the measurement better. Signals that a network of K layers misses are mostly
    slow, not lost: those with many non-zeros. Needs no training and stores nothing. Drives compiled programs from the
    host: call it outside ``jit``.

    Args:
        net: an unrolled network.
        y: measurements, last axis m; leading axes are batch axes.
        tolerance: largest relative change of an estimate that counts as standing still.
        layers: largest number of layers beyond those of the network.
        cycle: how many of the last layers are repeated; None: 4, or all of a shallower network.

    Raises:
        ValueError: a tolerance that is not positive, fewer layers than one round, or a cycle longer than the network.
        TypeError: a network that is not unrolled.

    Example:
        >>> import jax.numpy as jnp
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> refine(Unrolled(AMP(), gaussian(8, 16), depth=4), jnp.ones((3, 8)), layers=8).x.shape
        (3, 16)
    """
    net = instance("net", net, Unrolled, "Unrolled(ISTA(), A, 8)")
    cycle = min(4, net.depth) if cycle is None else integer("cycle", cycle, 1, net.depth)
    layers = integer("layers", layers, cycle)  # one round at least
    tolerance = number("tolerance", tolerance, lambda change: change > 0, "a relative change > 0")
    A = net.operator
    y = as_signal(y, A.shape[0], "refine(y)", "m", complex_physics=A.complex_physics)
    refined = _refine(net, widened(y), tolerance, layers // cycle, cycle)
    return refined._replace(x=refined.x.astype(y.dtype))


def _refine(net: Unrolled, y: Array, tolerance: float, rounds: int, cycle: int) -> Refined:
    """Rounds for all signals at first, then for ever fewer: finished ones leave the batch."""
    batch, rows = y.shape[:-1], y.reshape(-1, y.shape[-1])
    state = _start(net, rows)
    own = net.algorithm.read(state)
    x, count = np.array(own), np.full(len(rows), net.depth)
    done = np.zeros(len(rows), bool)
    left, turn = np.arange(len(rows)), 0
    while turn < rounds and left.size:
        now = min(_ROUNDS, rounds - turn)
        state, finished, taken = _again(net, rows, state, tolerance, cycle, now)
        finished, taken = np.asarray(finished)[: left.size], np.asarray(taken)[: left.size]
        x[left] = np.asarray(net.algorithm.read(state))[: left.size]
        count[left] += cycle * taken
        done[left] = finished
        turn += now
        stay = np.flatnonzero(~finished)
        left = left[stay]
        if stay.size:  # padded with repetitions: few sizes, few compilations
            kept = np.resize(stay, min(len(rows), 1 << int(stay.size - 1).bit_length()))
            state, rows = jax.tree.map(lambda leaf, kept=kept: leaf[kept], (state, rows))
    estimate = _safeguarded(net, y.reshape(-1, y.shape[-1]), jnp.asarray(x), own, jnp.asarray(done))
    shape = (*batch, x.shape[-1])
    return Refined(estimate.reshape(shape), jnp.asarray(count).reshape(batch), jnp.asarray(done).reshape(batch))


@jax.jit
def _safeguarded(net: Unrolled, y: Array, x: Array, own: Array, done: Array) -> Array:
    """For signals that never settled: the network's own estimate where the last one fits the measurement worse."""
    y, A = net.physical(y)
    last, first = (norm(y - A(estimate), keepdims=True) for estimate in (x, own))
    return jnp.where(done[:, None] | (last <= first), x, own)


@jax.jit
def _start(net: Unrolled, y: Array) -> State:
    """The state after the layers of the network."""
    y, A = net.physical(y)
    inputs, step = net.layers(net.depth, y, A)
    return jax.lax.scan(lambda state, layer: (step(state, layer), None), net.start(y, A), inputs)[0]


@partial(jax.jit, static_argnums=(4, 5))
def _again(
    net: Unrolled, y: Array, state: State, tolerance: float, cycle: int, rounds: int
) -> tuple[State, Array, Array]:
    """Up to ``rounds`` rounds of the last layers: states, which signals stand still, rounds that each took."""
    y, A = net.physical(y)
    inputs, step = net.layers(net.depth, y, A)
    last = jax.tree.map(lambda a: a[net.depth - cycle :], inputs)

    def round_(carry: tuple[State, Array, Array], _: None) -> tuple[tuple[State, Array, Array], None]:
        state, done, count = carry
        following, _ = jax.lax.scan(lambda state, layer: (step(state, layer), None), state, last)
        still = settled(net.algorithm, state, following, tolerance)
        state = jax.tree.map(lambda old, new: jnp.where(done[:, None], old, new), state, following)
        return (state, done | still, count + ~done), None

    start = state, jnp.zeros(len(y), bool), jnp.zeros(len(y), int)
    return jax.lax.scan(round_, start, None, length=rounds)[0]
