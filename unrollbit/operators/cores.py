"""The core of an operator under a structure."""

from __future__ import annotations

from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.block import BlockDiagonal
from unrollbit.operators.convolution import Convolution
from unrollbit.operators.shared import Shared
from unrollbit.operators.structure import Structure, check_entries
from unrollbit.operators.structured import Structured


def core_of(operator: LinearOperator, structure: Structure) -> Array:
    """The core under ``structure`` of an operator's matrix, which is formed only where its own parts do not give it.

    Raises ``ValueError`` for a convolution whose taps do not fit the shared ones of the structure.
    """
    if isinstance(structure, Shared) and isinstance(operator, Convolution):
        return structure.core_of(operator)
    if isinstance(operator, BlockDiagonal | Structured) and operator.mask() == structure:
        return operator.core
    check_entries("the matrix of the physics", *operator.shape)
    return structure.gather(operator.dense())
