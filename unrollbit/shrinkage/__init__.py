"""Shrinkages: the non-linearities of iterative recovery algorithms, with their learned scalars."""

from unrollbit.shrinkage.base import Scalars, Shrinkage
from unrollbit.shrinkage.bernoulli_gaussian import BernoulliGaussian
from unrollbit.shrinkage.constraints import Box, Identity, NonNegative
from unrollbit.shrinkage.divergence import divergence
from unrollbit.shrinkage.firm import Firm
from unrollbit.shrinkage.group import GroupSoft
from unrollbit.shrinkage.grouped import Grouped
from unrollbit.shrinkage.hard import Hard
from unrollbit.shrinkage.influence import Clips, Influence, MonotoneClips
from unrollbit.shrinkage.plugged import Plugged
from unrollbit.shrinkage.selection import SupportSelection
from unrollbit.shrinkage.soft import Soft

__all__ = [
    "BernoulliGaussian",
    "Box",
    "Clips",
    "Firm",
    "GroupSoft",
    "Grouped",
    "Hard",
    "Identity",
    "Influence",
    "MonotoneClips",
    "NonNegative",
    "Plugged",
    "Scalars",
    "Shrinkage",
    "Soft",
    "SupportSelection",
    "divergence",
]
