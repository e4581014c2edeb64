"""The core of an operator under a structure."""

from __future__ import annotations

from jaxtyping import Array

from unrollbit.operators.base import LinearOperator
from unrollbit.operators.block import BlockDiagonal
from unrollbit.operators.convolution import Convolution
from unrollbit.operators.structured import Structured
from unrollbit.sizes import check_entries
from unrollbit.structures.base import Structure
from unrollbit.structures.shared import Shared


def core_of(operator: LinearOperator, structure: Structure) -> Array:
    """The core under ``structure`` of an operator's matrix, which is formed only where its own parts do not give it.

    Raises ``ValueError`` for a convolution whose taps do not fit the shared ones of the structure.
    """
    if isinstance(structure, Shared) and isinstance(operator, Convolution):
        return structure.padded(operator.kernel, operator.grid)
    if isinstance(operator, BlockDiagonal | Structured) and operator.mask() == structure:
        return operator.core
    check_entries("the matrix of the physics", *operator.shape)
    return structure.gather(operator.dense())
