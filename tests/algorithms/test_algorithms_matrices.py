"""Matrices that algorithms derive from the physics, against their definitions."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.optimize

from unrollbit.algorithms import ADMM, coherence_matrix, regularised_inverse
from unrollbit.operators import (
    BlockDiagonal,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Scaled,
    gaussian,
)


def instance(m: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix and noisy measurements of a signal with 3 non-zeros."""
    random = np.random.RandomState(seed)
    A = random.standard_normal((m, n)) / np.sqrt(m)
    x = np.zeros(n)
    x[random.choice(n, 3, replace=False)] = random.standard_normal(3)
    return A, A @ x + 0.02 * random.standard_normal(m)


def test_coherence_matrix_is_optimal() -> None:
    """Column by column against a constrained numerical minimiser of ||A^T w||^2."""
    A = instance(5, 9)[0]
    with jax.enable_x64(True):
        W = np.asarray(coherence_matrix(Dense.of(A)).dense())
    np.testing.assert_allclose(np.sum(W * A, axis=0), 1.0, atol=1e-12)
    for j in range(9):
        found = scipy.optimize.minimize(
            lambda w: np.sum((A.T @ w) ** 2),
            A[:, j],
            jac=lambda w: 2 * A @ (A.T @ w),
            constraints={"type": "eq", "fun": lambda w, j=j: w @ A[:, j] - 1.0, "jac": lambda w, j=j: A[:, j]},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 1000},
        )
        assert found.success
        np.testing.assert_allclose(W[:, j], found.x, atol=1e-5)
        assert np.sum((A.T @ W[:, j]) ** 2) <= found.fun + 1e-10


def test_coherence_matrix_of_tall_physics_inverts_it() -> None:
    A = instance(9, 5)[0]
    with jax.enable_x64(True):
        W = np.asarray(coherence_matrix(Dense.of(A)).dense())
    np.testing.assert_allclose(W.T @ A, np.eye(5), atol=1e-12)


def test_coherence_matrix_follows_structure() -> None:
    tight = Hadamard(8, 16)
    np.testing.assert_allclose(coherence_matrix(tight).dense(), tight.dense(), atol=1e-6)
    blocks = np.random.RandomState(0).standard_normal((3, 4, 7))
    W = coherence_matrix(BlockDiagonal.of(blocks))
    assert W.mask() == BlockDiagonal.of(blocks).mask()
    for block, own in zip(blocks, W.entries, strict=True):
        np.testing.assert_allclose(own, coherence_matrix(Dense.of(block)).dense(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "A",
    [
        gaussian(6, 10),
        gaussian(10, 6),
        Hadamard(8, 16),
        BlockDiagonal.of(np.random.RandomState(0).standard_normal((3, 4, 7))),
        Convolution.of(np.array([0.5, 1.0, -0.3]), 9),
    ],
    ids=["wide", "tall", "tight", "blocks", "convolution"],
)
def test_regularised_inverse(A: LinearOperator) -> None:
    dense = np.asarray(A.dense(), np.float64)
    expected = np.linalg.inv(dense @ dense.T + 0.7 * np.eye(len(dense))) @ dense
    inverse = regularised_inverse(A, 0.7)
    np.testing.assert_allclose(inverse.dense(), expected, atol=1e-6)
    assert isinstance(inverse, Scaled) == isinstance(A, Hadamard)
    assert inverse.mask().blocks == A.mask().blocks


def test_dense_solves_beyond_memory_are_refused() -> None:
    A = Convolution.of(np.array([1.0, 2.0]), 10_000)
    for compute in (lambda: regularised_inverse(A, 1.0), lambda: coherence_matrix(A), lambda: ADMM().maps(A)):
        with pytest.raises(ValueError, match="10000 x 10000"):
            compute()
