"""Inverse problems: physics, signal prior, noise and data."""

from unrollbit.problems.arrays import ArrayProblem
from unrollbit.problems.base import Problem, Subset
from unrollbit.problems.blocks import BlockSparseRecovery
from unrollbit.problems.eeg import EEGCompressiveRecovery
from unrollbit.problems.patches import ImagePatchRecovery
from unrollbit.problems.sparse import SparseRecovery

__all__ = [
    "ArrayProblem",
    "BlockSparseRecovery",
    "EEGCompressiveRecovery",
    "ImagePatchRecovery",
    "Problem",
    "SparseRecovery",
    "Subset",
]
