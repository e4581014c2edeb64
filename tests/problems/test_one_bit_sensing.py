"""One-bit compressive sensing: the level of the signs, and what BIHT recovers from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from unrollbit import FISTA
from unrollbit.baselines import BIHT, Classic, tune
from unrollbit.metrics import nmse_db
from unrollbit.operators import Dense, gaussian
from unrollbit.problems import OneBitCompressiveSensing


@pytest.fixture(scope="module")
def drawn():
    problem = OneBitCompressiveSensing(512, 128, sparsity=0.05)
    return problem, *problem.split("test").sample(jax.random.key(0), 400)


def test_signals_have_the_expected_energy_and_measurements_are_signs(drawn):
    problem, x, y = drawn
    assert_allclose(jnp.sum(x**2, axis=1), 128 * 0.05, rtol=1e-5)
    assert set(np.unique(y)) == {np.float32(-problem.level), np.float32(problem.level)}
    assert_allclose(np.sign(y), np.sign(problem.operator(x)))


def test_what_signs_add_to_the_linear_measurement_is_uncorrelated_to_it(drawn):
    """By hand: for Gaussian s of variance v, E[s mu sign(s)] = mu sqrt(2 v / pi): v for mu = sqrt(pi v / 2)."""
    problem, x, y = drawn
    linear = np.asarray(problem.operator(x), np.float64)
    assert abs(np.sum(linear * (y - linear)) / np.sum(linear**2)) < 0.02
    assert problem.level == pytest.approx(np.sqrt(np.pi / 2 * np.mean(linear**2)), rel=0.02)


def test_noise_comes_before_the_signs():
    quiet = OneBitCompressiveSensing(256, 64, snr_db=None).sample(jax.random.key(1), 50)
    noisy = OneBitCompressiveSensing(256, 64, snr_db=0.0).sample(jax.random.key(1), 50)
    assert_allclose(quiet[0], noisy[0])
    # noise as strong as the signal turns atan(1) / pi = 1/4 of the signs
    assert np.mean(np.asarray(quiet[1] != noisy[1])) == pytest.approx(0.25, abs=0.02)


@pytest.mark.long
def test_biht_against_numpy_and_ahead_of_the_linear_solver(drawn):
    problem, x, y = drawn
    with jax.enable_x64(True):
        operator = Dense.of(np.asarray(problem.operator.dense(), np.float64))
        found = np.asarray(BIHT(6, iterations=40)(operator, np.asarray(y[:3], np.float64)))
    A = np.asarray(problem.operator.dense(), np.float64)
    step = 1 / (2 * np.sqrt(512) * np.linalg.norm(A) / np.sqrt(128))
    for row in range(3):
        now, best, fewest = np.zeros(128), None, 513
        for _ in range(40):
            residual = np.sign(np.asarray(y[row])) - np.where(A @ now < 0, -1, 1)
            if np.count_nonzero(residual) < fewest:
                best, fewest = now, np.count_nonzero(residual)
            now = now + step * A.T @ residual
            now[np.argsort(-np.abs(now))[6:]] = 0
        assert_allclose(found[row], best / np.linalg.norm(best), atol=1e-9)
    unit = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    linear = tune(Classic(FISTA(), 50), problem, x, y).baseline(problem, y)
    linear = linear / jnp.linalg.norm(linear, axis=1, keepdims=True)
    assert float(nmse_db(BIHT(10, iterations=200)(problem, y), unit)) < float(nmse_db(linear, unit)) - 2


@pytest.mark.long
@pytest.mark.parametrize("nonzeros", [0, 17, 2.0, True])
def test_biht_needs_a_number_of_nonzeros(nonzeros):
    with pytest.raises(ValueError, match="nonzeros: expected"):
        BIHT(nonzeros)(gaussian(40, 16), jnp.ones((1, 40)))


@pytest.mark.long
def test_matrices_by_name_and_specs():
    with pytest.raises(ValueError, match="matrix: expected one of"):
        OneBitCompressiveSensing(8, 4, matrix="fourier")
    problem = OneBitCompressiveSensing(16, 32, matrix="hadamard", snr_db=10.0)
    expected = {"kind": "OneBitCompressiveSensing", "m": 16, "n": 32, "sparsity": 0.05}
    assert problem.to_spec() == expected | {"snr_db": 10.0, "matrix": "hadamard", "seed": 0}
