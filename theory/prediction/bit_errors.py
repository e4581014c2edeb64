"""E2: bit errors inside state evolution."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np

from unrollbit.formats import FullPrecision
from unrollbit.networks import Network
from unrollbit.structures import Full
from unrollbit.theory.prediction.held_out import HeldOut, relative_errors
from unrollbit.theory.prediction.layers import FIRST_ORDER, assumptions_of, compared
from unrollbit.theory.registry import theorem
from unrollbit.theory.report import Report, not_applicable

_LARGEST = 2**25  # entries of the matrices of all layers: 128 MB
FITS = "the matrices of all layers fit into memory as floats"


@theorem(
    "sensitivity",
    "state evolution under random bit errors",
    "NMSE in dB",
    on=HeldOut,
    examine=lambda at: E2(at, at.settings.rate),
    certainty="limit",
    meaning="with random bit errors: {bound:.1f} dB after the last layer",
)
def E2(held: HeldOut, rate: float) -> Report:
    """E1 for a network whose signs of W flip with probability ``rate``, independently in every layer::

        W^T v = (1 - 2p) W^T v + N(0, 4p(1-p) ||v||^2 / m)

    beside the median of the held-out signals with such errors. Errors that all layers share, as those of one stored
    matrix, are outside: they add up. Reports as ``E1``. Raises ``ValueError`` for a rate outside [0, 1].
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"E2: expected a bit-error rate in [0, 1], got {rate}")
    net, assumptions = held.net, assumptions_of(held)
    if not assumptions[FIRST_ORDER]:
        return not_applicable("E2", assumptions)
    assumptions |= {FITS: fits(net, net.depth)}
    if not all(assumptions.values()):
        return not_applicable("E2", assumptions)
    errors = relative_errors(with_sign_errors(net, rate, held.settings.seed), held.x[held.second], held.y[held.second])
    return compared("E2", held, assumptions, errors, rate)


def fits(net: Network, copies: int) -> bool:
    """Whether that many matrices of every map (or as many as it has) are held as floats."""
    sizes = (
        max(copies, w.copies) * (w.structure.size if w.structure.shared else math.prod(w.shape))
        for w in net.maps.values()
    )
    return sum(sizes) <= _LARGEST


def with_sign_errors(net: Network, rate: float, seed: int, *, shared: bool = False) -> Network:
    """The network with the sign of every entry of its maps flipped with probability ``rate``, independently in every
    layer or (``shared``) once for all layers that use the same matrix; its matrices are floats. Taps that all places of
    a signal share flip together.
    """
    random, maps = np.random.RandomState(seed), {}
    for name, weights in net.maps.items():
        structure = weights.structure if weights.structure.shared else Full(*weights.shape)
        copies = range(weights.copies) if shared else [k % weights.copies for k in range(net.uses(name))]
        cores = jnp.stack([weights.layer(k).core(structure) for k in copies])
        wrong = random.random_sample(cores.shape) < rate
        maps[name] = FullPrecision().from_cores(jnp.where(wrong, -cores, cores), structure)
    return net.with_maps(maps)
