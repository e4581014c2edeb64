"""Validation signals: which state of a network is kept, and what its result is compared with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.metrics import nmse_db
from unrollbit.networks import Network
from unrollbit.training.placement import Placement
from unrollbit.training.stage import Stage
from unrollbit.variables import TRAINED

SIGNALS = 1024
_ENTRIES = 2**22  # of all validation signals together: long ones are fewer
_DEVICES = 64  # that divide their number, if it is not smaller
_AT_ONCE = 2**19  # entries of the signals that are recovered together
_SHARE = 8  # batches of training for each batch of validation: 2 % of a run, measured for (256, 512) and 16 layers


class ResultWarning(UserWarning):
    """A trained network is no better than what costs nothing."""


class Scored(NamedTuple):
    """The trained variables of a network, their NMSE on validation signals in dB, as the ratio of sums and as the mean
    over signals, and after which step they were.
    """

    state: nnx.State
    nmse_db: float
    mean_of_db: float
    step: int


class Validation:
    """Fixed signals on which networks are scored: ``.x`` (N, n), ``.y`` (N, m); ``.unit``, the size of their entries.

    ``unit`` is the power of two nearest to the root mean square of the signals (1 if they are zero): objectives are
    computed in this unit, so that floors, step sizes and gradients do not depend on volts or microvolts.
    """

    def __init__(self, problem: Any, key: Array, length: int, placement: Placement | None = None) -> None:
        count = max(1, min(SIGNALS, _ENTRIES // length))
        self.x, self.y = problem.split("validation").sample(key, count - count % _DEVICES or count)
        self.unit = power_of_two(np.asarray(self.x))
        self._placement = Placement() if placement is None else placement
        at_once = _at_once(len(self.x), max(1, _AT_ONCE // length), self._placement.batches)
        self._parts = [
            self._placement.rows(jnp.reshape(rows, (-1, at_once, rows.shape[-1])), axis=1) for rows in (self.x, self.y)
        ]

    def nmse_db(self, net: Network) -> float:
        """NMSE of a network, ratio of sums, in dB."""
        return self.levels(net)[0]

    def levels(self, net: Network) -> tuple[float, float]:
        """NMSE of a network in dB: ratio of sums, mean over signals."""
        graph, trained, fixed = nnx.split(net, TRAINED, ...)
        x, y = self._parts
        estimates = _run(nnx.merge(graph, self._placement.state(trained), self._placement.fixed(fixed)), y)
        return float(nmse_db(estimates, x)), float(nmse_db(estimates, x, reduction="mean_of_db"))

    def interval(self, stage: Stage, depth: int) -> int:
        """Steps of a stage between two scores of a network of ``depth`` layers."""
        layers = depth / (stage.depth or depth)
        return math.ceil(_SHARE * len(self.x) / stage.batch * layers)


@jax.jit
def _run(net: Network, y: Float[Array, "times at_once m"]) -> Float[Array, "times at_once n"]:
    """As many at a time as fit into memory with what layers make of them."""
    return net(y) if len(y) == 1 else jax.lax.map(net, y)


def _at_once(count: int, most: int, devices: int) -> int:
    """How many of all signals are recovered together: at most ``most`` on each device, and all in equal parts."""
    devices = devices if count % devices == 0 else 1
    each = count // devices
    return devices * max(part for part in range(1, min(each, most) + 1) if each % part == 0)


def power_of_two(values: np.ndarray) -> float:
    """The power of two nearest to the root mean square: multiplying by it rounds nothing."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 0 < largest < math.inf:
        return 1.0
    mean_square = float(np.mean(np.square(values / largest, dtype=np.float64)))
    return 2.0 ** round(math.log2(largest) + math.log2(mean_square) / 2)


def shortfall(level: float, references: Mapping[str, float]) -> str | None:
    """In words, which of the references (NMSE in dB by name) a network of NMSE ``level`` is not ahead of.

    Example:
        >>> shortfall(0.4, {"the zero estimate": 0.0, "the untrained network": 3.0})
        'on validation signals the trained network has an NMSE of 0.4 dB, no better than the zero estimate (0.0 dB)'
    """
    ahead = [
        f"{name} ({other:.1f} dB)" for name, other in references.items() if not (level < other or math.isnan(other))
    ]
    if not ahead:
        return None
    return (
        f"on validation signals the trained network has an NMSE of {level:.1f} dB, no better than {' and '.join(ahead)}"
    )
