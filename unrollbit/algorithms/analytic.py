"""Matrices that algorithms compute from the physics."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from unrollbit.operators import BlockDiagonal, Blocks, Dense, LinearOperator, Scaled

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
    m = A.shape[0] // structure.blocks
    if m > _LARGEST:
        raise ValueError(f"this algorithm solves a dense {m} x {m} system for this operator; the largest is {_LARGEST}")
    if isinstance(structure, Blocks):
        core = np.asarray(structure.gather(A.dense()), np.float64)
        return BlockDiagonal.of(np.linalg.solve(core @ core.transpose(0, 2, 1) + rho * np.eye(m), core))
    matrix = np.asarray(A.dense(), np.float64)
    return Dense(jnp.asarray(np.linalg.solve(matrix @ matrix.T + rho * np.eye(m), matrix)))


def coherence_matrix(A: LinearOperator) -> LinearOperator:
    """``W = argmin ||W^T A||_F^2`` subject to ``w_j^T a_j = 1``: ALISTA's matrix, shape (m, n).

    In closed form ``w_j = (A A^T)^{-1} a_j / (a_j^T (A A^T)^{-1} a_j)`` (Liu et al., "ALISTA", ICLR 2019, eq. 16, whose
    problem has one linear constraint per column).
    """
    inverse = regularised_inverse(A, 0.0)
    matrix, dense = np.asarray(inverse.dense(), np.float64), np.asarray(A.dense(), np.float64)
    matrix = matrix / (matrix * dense).sum(0)
    structure = A.mask()
    if isinstance(structure, Blocks):
        return BlockDiagonal.of(np.asarray(structure.gather(jnp.asarray(matrix))))
    return Dense(jnp.asarray(matrix))
