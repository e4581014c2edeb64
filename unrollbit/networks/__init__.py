"""Recovery networks."""

from unrollbit.networks.activations import Activations
from unrollbit.networks.base import Network
from unrollbit.networks.fully_connected import FullyConnected
from unrollbit.networks.refine import Refined, refine
from unrollbit.networks.unrolled import Unrolled

__all__ = ["Activations", "FullyConnected", "Network", "Refined", "Unrolled", "refine"]
