"""Packed networks: files of the size that the bit count promises, which run from their bits."""

from unrollbit.packed.model import PackedModel
from unrollbit.packed.network import PackedNetwork, load, pack

__all__ = ["PackedModel", "PackedNetwork", "load", "pack"]
