"""Which entries of a matrix exist, and which of them share a weight."""

from unrollbit.structures.band import Band, Indexed
from unrollbit.structures.base import Structure
from unrollbit.structures.blocks import Blocks, dense_blocks
from unrollbit.structures.drawn import Drawn
from unrollbit.structures.filter_bank import FilterBank
from unrollbit.structures.full import DenseCore, Full
from unrollbit.structures.pattern import Pattern
from unrollbit.structures.rays import Rays
from unrollbit.structures.shared import Shared
from unrollbit.structures.stencil import Stencil

__all__ = [
    "Band",
    "Blocks",
    "DenseCore",
    "Drawn",
    "FilterBank",
    "Full",
    "Indexed",
    "Pattern",
    "Rays",
    "Shared",
    "Stencil",
    "Structure",
    "dense_blocks",
]
