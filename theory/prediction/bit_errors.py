"""E2: bit errors inside state evolution."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from unrollbit.formats import FullPrecision
from unrollbit.networks import Network
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
    """Whether that many matrices of the size of A are held as floats."""
    m, n = net.operator.shape
    return max(copies, net.maps[net.transposed[0]].copies) * m * n <= _LARGEST


def with_sign_errors(net: Network, rate: float, seed: int, *, shared: bool = False) -> Network:
    """The network with the sign of every entry of W flipped with probability ``rate``, independently in every layer or
    (``shared``) once for all layers that use the same matrix; its matrices are floats.
    """
    name, weights = net.transposed[0], net.maps[net.transposed[0]]
    matrices = np.asarray(weights.dense(), np.float32)
    if not shared:
        matrices = matrices[np.arange(net.depth) % len(matrices)]
    wrong = np.random.RandomState(seed).random_sample(matrices.shape) < rate
    flipped = FullPrecision().from_matrix(jnp.asarray(np.where(wrong, -matrices, matrices)), copies=len(matrices))
    return net.with_maps(dict(net.maps.items()) | {name: flipped})
