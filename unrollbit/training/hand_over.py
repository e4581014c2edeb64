"""Between full precision and signs: the stand-in that unquantised stages train, and what it hands over."""

from __future__ import annotations

from collections.abc import Sequence

from flax import nnx

from unrollbit.networks import Network
from unrollbit.training.stage import Stage
from unrollbit.variables import TRAINED


def trained_network(net: Network, work: Network, stage: Stage) -> Network:
    """What a stage trains: ``net`` itself, or a full-precision stand-in, ``work`` if there is one already."""
    if stage.quantised:
        return net
    return net.unquantised() if work is net else work


def hands_over_after(stages: Sequence[Stage], index: int) -> bool:
    """Whether the network itself is to be there when stage ``index`` ends: it is the last, or the next trains it."""
    return index + 1 == len(stages) or stages[index + 1].quantised


def hand_over(net: Network, work: Network) -> None:
    """Put what became of the stand-in into the network: its matrices in the network's formats, and its scalars."""
    for name, weights in net.maps.items():
        nnx.update(weights, nnx.state(weights.quantised_from(work.maps[name]), TRAINED))
    nnx.update(net.scalars, nnx.state(work.scalars))
