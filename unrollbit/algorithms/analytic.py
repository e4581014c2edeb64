"""Matrices that algorithms compute from the physics."""

from __future__ import annotations

import numpy as np

from unrollbit.operators import BlockDiagonal, Dense, LinearOperator, Scaled
from unrollbit.sizes import check_entries
from unrollbit.structures import Blocks

_RESOLUTION = 1e-6  # singular values of float32 physics below this share of the largest are rounding
_LARGEST = 8192  # a dense m x m solve beyond this takes minutes and gigabytes


def regularised_inverse(A: LinearOperator, rho: float) -> LinearOperator:
    """``(A A^T + rho I)^{-1} A``, shape (m, n): the map of ADMM's exact x-update (Woodbury).

    A multiple of ``A`` for tight frames, block by block for block-diagonal physics, otherwise a dense solve in float64.
    Raises ``ValueError`` where that would be too large.
    """
    constant = A.frame_constant
    if constant is not None:
        return Scaled(A, 1.0 / (constant + rho))
    structure = A.mask()
    m = _checked_size(A)
    if isinstance(structure, Blocks):
        core = np.asarray(structure.gather(A.dense()), np.float64)
        return BlockDiagonal.of(np.linalg.solve(core @ core.transpose(0, 2, 1) + rho * np.eye(m), core))
    matrix = np.asarray(A.dense(), np.float64)
    return Dense.of(np.linalg.solve(matrix @ matrix.T + rho * np.eye(m), matrix))


def coherence_matrix(A: LinearOperator) -> LinearOperator:
    """``W = argmin ||W^T A||_F^2`` subject to ``w_j^T a_j = 1``: ALISTA's matrix, shape (m, n).

    In closed form ``w_j = (A A^T)^{-1} a_j / (a_j^T (A A^T)^{-1} a_j)`` (Liu et al., "ALISTA", ICLR 2019, eq. 16, whose
    problem has one linear constraint per column), with the pseudo-inverse where ``A A^T`` is singular (tall physics).
    """
    structure = A.mask()
    _checked_size(A)
    core = np.asarray(structure.gather(A.dense()) if isinstance(structure, Blocks) else A.dense(), np.float64)
    tight = A.frame_constant is not None
    matrix = core if tight else np.linalg.pinv(core, rcond=_RESOLUTION).swapaxes(-1, -2)  # (A A^T)^+ A
    matrix = matrix / (matrix * core).sum(-2, keepdims=True)
    return BlockDiagonal.of(matrix) if isinstance(structure, Blocks) else Dense.of(matrix)


def _checked_size(A: LinearOperator) -> int:
    """Measurements per block of a dense solve. Raises ``ValueError`` where that is too large."""
    check_entries("a dense solve", *A.shape)
    m = A.shape[0] // A.mask().blocks
    if m > _LARGEST:
        raise ValueError(f"this algorithm solves a dense {m} x {m} system for this operator; the largest is {_LARGEST}")
    return m
