"""Patterns of blocks: what they measure, what their linear estimate is, and that learned ones are better."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.fft

from unrollbit.baselines.ridge import ridge_of
from unrollbit.operators import BlockPatterns, LinearOperator, hadamard_patterns, learned_patterns
from unrollbit.operators.pattern_design import block_moments
from unrollbit.operators.patterns import unexplained

SIZE, M = 4, 5


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Smooth fields with edges, pixels in [0, 1]."""
    random = np.random.RandomState(0)
    found = []
    for _ in range(6):
        field = scipy.fft.idctn(random.standard_normal((24, 24)) / (1 + np.add.outer(range(24), range(24))) ** 1.5)
        found.append((np.clip(field / abs(field).max(), -0.8, 0.8) + 1) / 2)
    return found


@pytest.fixture(scope="module")
def learned(images: list[np.ndarray]) -> BlockPatterns:
    return learned_patterns(images, SIZE, M, steps=200)


def test_every_block_is_measured_by_the_same_signs(learned: BlockPatterns) -> None:
    image = np.random.RandomState(1).uniform(size=(8, 12))
    A, S = learned.resized((8, 12)), np.asarray(learned.signs())
    expected = [S @ image[i : i + 4, j : j + 4].ravel() / SIZE for i in (0, 4) for j in (0, 4, 8)]
    np.testing.assert_allclose(A(jnp.asarray(image.ravel())), np.concatenate(expected), rtol=1e-5, atol=1e-6)


def test_the_estimate_is_the_regression_on_gaussian_blocks() -> None:
    """W against the least squares fit of many blocks drawn with the covariance that it is for."""
    random = np.random.RandomState(2)
    variances = 10.0 ** random.uniform(-1, 0, 16)
    A = BlockPatterns.of(np.sign(random.standard_normal((M, 16))), (SIZE, SIZE), SIZE, variances)
    coefficients = random.standard_normal((200_000, 4, 4)) * np.sqrt(variances).reshape(4, 4)
    x = scipy.fft.idctn(coefficients, axes=(1, 2), norm="ortho").reshape(-1, 16)
    y = x @ np.asarray(A.dense(), np.float64).T
    fitted = np.linalg.lstsq(y, x, rcond=None)[0]
    own = np.asarray(A.linear_estimate(jnp.eye(M)))
    assert np.abs(own - fitted).max() < 0.02 * np.abs(fitted).max()


def test_the_estimate_fits_the_measurements(learned: BlockPatterns) -> None:
    y = jnp.asarray(np.random.RandomState(3).standard_normal((2, 6 * M)), jnp.float32)
    A = learned.resized((8, 12))
    assert A.inverts
    np.testing.assert_allclose(A(A.linear_estimate(y)), y, atol=1e-4)
    np.testing.assert_allclose(jax.jit(lambda A, y: A.linear_estimate(y))(A, y), A.linear_estimate(y), atol=1e-6)


def test_the_loss_is_the_error_of_the_best_linear_estimate(images: list[np.ndarray]) -> None:
    A, C = hadamard_patterns(images, SIZE, M), block_moments(images, SIZE)
    S = np.asarray(A.signs(), np.float64)
    W = C @ S.T @ np.linalg.inv(S @ C @ S.T)
    error = C - W @ S @ C
    assert float(unexplained(jnp.asarray(S), jnp.asarray(C))) == pytest.approx(np.trace(error) / 16, rel=0.01)


def test_learned_patterns_leave_less_unexplained(images: list[np.ndarray], learned: BlockPatterns) -> None:
    C = jnp.asarray(block_moments(images, SIZE), jnp.float32)
    random = np.sign(np.random.RandomState(4).standard_normal((M, 16)))
    assert unexplained(learned.signs(), C) < unexplained(hadamard_patterns(images, SIZE, M).signs(), C)
    assert unexplained(learned.signs(), C) < 0.5 * unexplained(jnp.asarray(random), C)


def test_moments_do_not_change_with_flips_and_transposes(images: list[np.ndarray]) -> None:
    turned = [np.flip(image.T, 0) for image in images]
    C = block_moments(images, 3)
    np.testing.assert_allclose(block_moments(turned, 3), C, atol=0.1 * C.max())
    np.testing.assert_allclose(np.flip(C.reshape(3, 3, 3, 3), (0, 2)).reshape(9, 9), C)
    np.testing.assert_allclose(C.reshape(3, 3, 3, 3).transpose(1, 0, 3, 2).reshape(9, 9), C)


def test_bits_of_signs_and_variances(learned: BlockPatterns) -> None:
    """One bit a sign, 16 a variance."""
    assert learned.resized((16, 16)).physics_bits() == M * 16 + 16 * 16
    again = LinearOperator.from_spec(learned.to_spec())
    assert again == learned
    np.testing.assert_array_equal(again.estimator, learned.estimator)


def test_ridge_regression_inverts_the_gram_matrix_of_a_block(learned: BlockPatterns) -> None:
    A = learned.resized((8, 12))
    y = np.random.RandomState(5).standard_normal((2, 6 * M))
    D = np.asarray(A.dense(), np.float64)
    expected = np.linalg.solve(D @ D.T + 0.3 * np.eye(6 * M), y.T).T @ D
    found = ridge_of(A)
    assert found.exact
    np.testing.assert_allclose(found(jnp.asarray(y, jnp.float32), 0.3), expected, atol=1e-4)


def test_what_is_refused(images: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match="pad the image"):
        BlockPatterns.of(np.ones((1, 4)), (4, 5), 2)
    with pytest.raises(ValueError, match="independent"):
        BlockPatterns.of(np.ones((2, 4)), (4, 4), 2)
    with pytest.raises(ValueError, match=r"matrix of \+-1"):
        BlockPatterns.of(np.zeros((1, 4)), (4, 4), 2)
    with pytest.raises(ValueError, match="variances"):
        BlockPatterns.of(np.ones((1, 4)), (4, 4), 2, np.zeros(4))
    with pytest.raises(ValueError, match="none"):
        learned_patterns([], 4, 3)
    with pytest.raises(ValueError, match="m: expected"):
        learned_patterns(images, 4, 17)
