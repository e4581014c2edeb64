"""Matrices that algorithms compute from the physics."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from unrollbit.operators import LinearOperator, Scaled
from unrollbit.operators.structured import Structured
from unrollbit.sizes import check_entries
from unrollbit.structures import dense_blocks

_RESOLUTION = 1e-6  # singular values of float32 physics below this share of the largest are rounding
_LARGEST = 8192  # a dense m x m solve beyond this takes minutes and gigabytes


def regularised_inverse(A: LinearOperator, rho: float) -> LinearOperator:
    """``(A A^T + rho I)^{-1} A``, shape (m, n): the map of ADMM's exact x-update (Woodbury). Computed once per physics.

    A multiple of ``A`` for tight frames, block by block for block-diagonal physics, otherwise a dense solve in float64.
    Raises ``ValueError`` where that would be too large.
    """
    constant = A.frame_constant
    if constant is not None:
        return Scaled(A, 1.0 / (constant + rho))

    def solved() -> LinearOperator:
        core = _core(A)
        return _of_core(A, np.linalg.solve(core @ core.swapaxes(-1, -2) + rho * np.eye(core.shape[-2]), core))

    return A.derived(("regularised inverse", rho), solved)


def coherence_matrix(A: LinearOperator) -> LinearOperator:
    """``W = argmin ||W^T A||_F^2`` subject to ``w_j^T a_j = 1``: ALISTA's matrix, shape (m, n). Computed once per
    physics.

    In closed form ``w_j = (A A^T)^{-1} a_j / (a_j^T (A A^T)^{-1} a_j)`` (Liu et al., "ALISTA", ICLR 2019, eq. 16, whose
    problem has one linear constraint per column), with the pseudo-inverse where ``A A^T`` is singular (tall physics).
    An unknown that is not measured (``a_j = 0``) has no such column: ``w_j = 0``, the least coherent one.
    """

    def designed() -> LinearOperator:
        core = _core(A)
        tight = A.frame_constant is not None
        matrix = core if tight else np.linalg.pinv(core, rcond=_RESOLUTION).swapaxes(-1, -2)  # (A A^T)^+ A
        products = (matrix * core).sum(-2, keepdims=True)
        measured = products > 0
        return _of_core(A, np.where(measured, matrix / np.where(measured, products, 1.0), 0.0))

    return A.derived("coherence matrix", designed)


def coherent_step(A: LinearOperator) -> float:
    """``1 / ||W^T A||`` with the coherence matrix: ``W^T A = D P`` with P a projection and 1 on the diagonal."""

    def size() -> float:
        matrix = np.asarray(coherence_matrix(A).dense(), np.float64)
        return float(np.linalg.norm(matrix.T @ np.asarray(A.dense(), np.float64), 2))

    return 1.0 / A.derived("norm of W^T A", size)


def _core(A: LinearOperator) -> np.ndarray:
    """The blocks of a dense solve, float64. Raises ``ValueError`` where they are too large."""
    check_entries("a dense solve", *A.shape)
    m = A.shape[0] // A.mask().blocks
    if m > _LARGEST:
        raise ValueError(f"this algorithm solves a dense {m} x {m} system for this operator; the largest is {_LARGEST}")
    return np.asarray(A.core(dense_blocks(A.mask())), np.float64)


def _of_core(A: LinearOperator, core: np.ndarray) -> LinearOperator:
    return Structured(jnp.asarray(core, jnp.result_type(float)), dense_blocks(A.mask()))
