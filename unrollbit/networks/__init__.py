"""Recovery networks."""

from unrollbit.networks.activations import Activations
from unrollbit.networks.base import Network
from unrollbit.networks.fully_connected import FullyConnected
from unrollbit.networks.last_step import LastStep, sizes
from unrollbit.networks.local_sizes import local_sizes
from unrollbit.networks.refine import Refined, refine
from unrollbit.networks.unrolled import Unrolled

__all__ = [
    "Activations",
    "FullyConnected",
    "LastStep",
    "Network",
    "Refined",
    "Unrolled",
    "local_sizes",
    "refine",
    "sizes",
]
