"""The classic solvers against scikit-learn, SciPy and plain NumPy versions of the textbooks, in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from sklearn.linear_model import Lasso

from unrollbit import Unrolled
from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, GradientDescent, solve
from unrollbit.algorithms.fista import nesterov_momentum
from unrollbit.formats import Fixed, FullPrecision
from unrollbit.operators import (
    Dense,
    gaussian,
    gaussian_blocks,
)
from unrollbit.shrinkage import Box, NonNegative, Soft
from unrollbit.training import recipes

SIZES = {"wide": (15, 30), "tall": (30, 15)}
LAMBDA = 0.07


def instance(m: int, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A matrix and noisy measurements of a signal with 3 non-zeros."""
    random = np.random.RandomState(seed)
    A = random.standard_normal((m, n)) / np.sqrt(m)
    x = np.zeros(n)
    x[random.choice(n, 3, replace=False)] = random.standard_normal(3)
    return A, A @ x + 0.02 * random.standard_normal(m)


def soft(u: np.ndarray, threshold: float) -> np.ndarray:
    return np.sign(u) * np.maximum(np.abs(u) - threshold, 0.0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("algorithm", "iterations"),
    [
        (ISTA(regularisation=LAMBDA), 20_000),
        (ISTA(regularisation=LAMBDA, parametrisation="classic"), 20_000),
        (FISTA(regularisation=LAMBDA), 10_000),
        (ADMM(regularisation=LAMBDA, rho=0.5), 5_000),
    ],
    ids=["ista", "ista-classic", "fista", "admm"],
)
def test_lasso_solution_of_scikit_learn(algorithm, iterations: int, size: str) -> None:
    A, y = instance(*SIZES[size])
    # scikit-learn minimises ||y - A x||^2 / (2 m) + alpha ||x||_1
    oracle = Lasso(alpha=LAMBDA / len(y), fit_intercept=False, tol=1e-15, max_iter=1_000_000).fit(A, y).coef_
    assert 0 < np.count_nonzero(oracle) < A.shape[1]
    with jax.enable_x64(True):
        x = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), iterations).x)
    assert x.dtype == np.float64
    np.testing.assert_allclose(x, oracle, atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_gradient_descent_reaches_least_squares(size: str) -> None:
    A, y = instance(*SIZES[size])
    oracle = np.linalg.lstsq(A, y, rcond=None)[0]  # of least norm where A is wide
    with jax.enable_x64(True):
        x = np.asarray(solve(GradientDescent(), Dense.of(A), jnp.asarray(y), 20_000).x)
    np.testing.assert_allclose(x, oracle, atol=1e-8, rtol=0)


def test_projected_gradient_descent_solves_constrained_least_squares() -> None:
    A, y = instance(30, 15)
    with jax.enable_x64(True):
        boxed = solve(GradientDescent(shrinkage=Box(-0.1, 0.2)), Dense.of(A), jnp.asarray(y), 5_000).x
        nonnegative = solve(GradientDescent(shrinkage=NonNegative()), Dense.of(A), jnp.asarray(y), 5_000).x
        boxed, nonnegative = np.asarray(boxed), np.asarray(nonnegative)
    oracle = scipy.optimize.lsq_linear(A, y, (-0.1, 0.2), tol=1e-14).x
    np.testing.assert_allclose(boxed, oracle, atol=1e-6)
    np.testing.assert_allclose(nonnegative, scipy.optimize.nnls(A, y)[0], atol=1e-8)
    assert np.isclose(boxed, 0.2).any()
    assert (nonnegative == 0).any()


def test_ista_iterates_against_numpy() -> None:
    A, y = instance(15, 30)
    step = 1 / np.linalg.norm(A, 2) ** 2
    x, expected = np.zeros(30), []
    for _ in range(40):
        x = soft(x + step * A.T @ (y - A @ x), step * LAMBDA)
        expected.append(x)
    with jax.enable_x64(True):
        for parametrisation in ("coupled", "classic"):
            algorithm = ISTA(regularisation=LAMBDA, parametrisation=parametrisation)
            iterates = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), 40, iterates=True).iterates)
            np.testing.assert_allclose(iterates, expected, atol=1e-12)


def test_ista_step_parametrisation_against_numpy() -> None:
    """ALISTA: w_j = (A A^T)^{-1} a_j, scaled to w_j^T a_j = 1; the step keeps I - step W^T A non-expansive."""
    A, y = instance(15, 30)
    W = np.linalg.solve(A @ A.T, A)
    W /= np.sum(W * A, axis=0)
    step = 1 / np.linalg.norm(W.T @ A, 2)
    threshold = LAMBDA / np.linalg.norm(A, 2) ** 2
    x, expected = np.zeros(30), []
    for _ in range(30):
        x = soft(x + step * W.T @ (y - A @ x), threshold)
        expected.append(x)
    with jax.enable_x64(True):
        algorithm = ISTA(regularisation=LAMBDA, parametrisation="step")
        iterates = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), 30, iterates=True).iterates)
    np.testing.assert_allclose(iterates, expected, atol=1e-10)


def test_adaptive_ista_scales_the_threshold_by_the_residual() -> None:
    A, y = instance(15, 30)
    step = 1 / np.linalg.norm(A, 2) ** 2
    x, expected = np.zeros(30), []
    for _ in range(10):
        residual = y - A @ x
        x = soft(x + step * A.T @ residual, step * LAMBDA * np.linalg.norm(residual) / np.sqrt(15))
        expected.append(x)
    with jax.enable_x64(True):
        algorithm = ISTA(regularisation=LAMBDA, adaptive=True)
        iterates = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), 10, iterates=True).iterates)
    np.testing.assert_allclose(iterates, expected, atol=1e-10)


def test_fista_iterates_against_numpy() -> None:
    """Beck and Teboulle 2009, section 4: y_{k+1} = x_k + (t_k - 1) / t_{k+1} (x_k - x_{k-1})."""
    A, y = instance(15, 30)
    step = 1 / np.linalg.norm(A, 2) ** 2
    x, z, t, expected = np.zeros(30), np.zeros(30), 1.0, []
    for _ in range(40):
        new = soft(z + step * A.T @ (y - A @ z), step * LAMBDA)
        following = (1 + np.sqrt(1 + 4 * t**2)) / 2
        z = new + (t - 1) / following * (new - x)
        x, t = new, following
        expected.append(x)
    with jax.enable_x64(True):
        solution = solve(FISTA(regularisation=LAMBDA), Dense.of(A), jnp.asarray(y), 40, iterates=True)
        np.testing.assert_allclose(np.asarray(solution.iterates), expected, atol=1e-12)


def test_nesterov_momentum_begins_at_zero_and_tends_to_one() -> None:
    momentum = nesterov_momentum(1000)
    golden = (1 + np.sqrt(5)) / 2
    third = (1 + np.sqrt(1 + 4 * golden**2)) / 2
    np.testing.assert_allclose(momentum[:2], [0.0, (golden - 1) / third])
    assert (np.diff(momentum) > 0).all()
    assert 0.99 < momentum[-1] < 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("rho", [0.3, 2.0])
def test_admm_against_three_variables(rho: float, size: str) -> None:
    """Boyd et al. 2011, section 6.4: x-update by a solve of size n, z by soft threshold, u the scaled dual."""
    A, y = instance(*SIZES[size])
    n = A.shape[1]
    z, u, expected = np.zeros(n), np.zeros(n), []
    for _ in range(40):
        x = np.linalg.solve(A.T @ A + rho * np.eye(n), A.T @ y + rho * (z - u))
        z = soft(x + u, LAMBDA / rho)
        u = u + x - z
        expected.append(z)
    with jax.enable_x64(True):
        algorithm = ADMM(regularisation=LAMBDA, rho=rho)
        iterates = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), 40, iterates=True).iterates)
    np.testing.assert_allclose(iterates, expected, atol=1e-11)


def test_amp_with_onsager_term_against_numpy() -> None:
    """Donoho, Maleki, Montanari 2009: for the soft threshold the Onsager coefficient is ||x||_0 / m."""
    random = np.random.RandomState(3)
    m, n = 40, 80
    A = random.standard_normal((m, n))
    A = A / np.linalg.norm(A, axis=0)
    y = A @ (random.standard_normal(n) * (random.uniform(size=n) < 0.1))
    x, v, expected = np.zeros(n), np.zeros(m), []
    for _ in range(15):
        v = y - A @ x + np.count_nonzero(x) / m * v
        x = soft(x + A.T @ v, np.linalg.norm(v) / np.sqrt(m))
        expected.append(x)
    assert np.count_nonzero(x) > 0
    with jax.enable_x64(True):
        algorithm = AMP(shrinkage=Soft(), onsager="computed")
        iterates = np.asarray(solve(algorithm, Dense.of(A), jnp.asarray(y), 15, iterates=True).iterates)
    np.testing.assert_allclose(iterates, expected, atol=1e-9)


def test_amp_on_blocks_is_amp_on_each_block() -> None:
    """The noise level and the Onsager term are those of each block."""
    A = gaussian_blocks(3, 12, 24, 0)
    y = jnp.asarray(np.random.RandomState(0).standard_normal((2, 36)), jnp.float32)
    algorithm = AMP(shrinkage=Soft(), onsager="computed")
    whole = np.asarray(solve(algorithm, A, y, 6).x).reshape(2, 3, 24)
    for block in range(3):
        alone = solve(algorithm, Dense.of(np.asarray(A.blocks[block])), y.reshape(2, 3, 12)[:, block], 6).x
        np.testing.assert_allclose(whole[:, block], alone, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-2, 1e2])
def test_networks_do_not_care_about_the_units_of_the_physics(factor: float) -> None:
    """A -> cA: with W normalised to diag(W^T A) = 1, x from y = c A x stays the same."""
    A = gaussian(16, 32).dense()
    x = jnp.asarray(np.random.RandomState(0).standard_normal((3, 32)) * (np.arange(32) < 3), jnp.float32)
    nets = [recipes.scalars_only(Dense.of(c * np.asarray(A)), 5, weights=Fixed()).network for c in (1.0, factor)]
    expected, scaled = nets[0](x @ A.T), nets[1](factor * (x @ A.T))
    assert float(jnp.linalg.norm(scaled - expected)) <= 1e-3 * float(jnp.linalg.norm(expected))


def test_admm_with_a_tolerance_does_not_stop_while_only_the_threshold_is_zero() -> None:
    A = gaussian(16, 32)
    y = A(jnp.asarray(np.random.RandomState(0).standard_normal(32), jnp.float32))
    solution = solve(ADMM(regularisation=0.1, rho=0.1), A, y, 3000, 1e-6)
    assert solution.iterations > 10
    assert float(jnp.abs(solution.x).max()) > 0.1


def test_amp_with_constant_memory_against_numpy() -> None:
    A, y = instance(15, 30)
    A = A / np.linalg.norm(A, axis=0)
    x, v, expected = np.zeros(30), np.zeros(15), []
    for _ in range(12):
        v = y - A @ x + 0.2 * v
        x = soft(x + A.T @ v, np.linalg.norm(v) / np.sqrt(15))
        expected.append(x)
    with jax.enable_x64(True):
        solution = solve(AMP(shrinkage=Soft()), Dense.of(A), jnp.asarray(y), 12, iterates=True)
        np.testing.assert_allclose(np.asarray(solution.iterates), expected, atol=1e-9)


@pytest.mark.parametrize("momentum", [False, True])
@pytest.mark.parametrize("onsager", ["none", "learned", "computed"])
def test_amp_has_the_scalars_of_the_terms_it_has(onsager, momentum: bool) -> None:
    names = {"step", "threshold"} | ({"memory"} if onsager == "learned" else set())
    algorithm = AMP(shrinkage=Soft(), onsager=onsager, momentum=momentum)
    assert set(algorithm.scalars(gaussian(8, 16))) == names | ({"momentum"} if momentum else set())
    net = Unrolled(algorithm, gaussian(8, 16), 2, Fixed())
    assert set(net.scalars) == set(algorithm.scalars(gaussian(8, 16)))


def test_amp_without_memory_and_momentum_is_ista_with_an_adaptive_threshold() -> None:
    """By hand in NumPy, layer by layer, with a step, a threshold and a matrix W of its own for every layer."""
    A, y = instance(15, 30)
    A = A * 1.7  # columns of any norm
    random = np.random.RandomState(4)
    matrices = A / np.sum(A**2, axis=0) + 0.01 * random.standard_normal((4, 15, 30))
    steps, thresholds = np.array([0.9, 0.5, 0.7, 1.1]), np.array([1.0, 0.8, 0.3, 0.6])
    column = np.linalg.norm(A) / np.sqrt(30)
    x, expected = np.zeros(30), []
    for W, step, threshold in zip(matrices, steps, thresholds, strict=True):
        v = y - A @ x
        x = soft(x + step * W.T @ v, threshold * np.linalg.norm(v) / np.sqrt(15) / column)
        expected.append(x)
    assert 0 < np.count_nonzero(x) < 30
    weights = FullPrecision().from_matrix(matrices, copies=4)
    net = Unrolled(AMP(shrinkage=Soft(), onsager="none", momentum=False), Dense.of(A), 4, {"W": weights})
    specs = net.algorithm.scalars(Dense.of(A))
    for name, values in (("step", steps), ("threshold", thresholds)):
        net.scalars[name][...] = jnp.asarray(specs[name].raw(values), jnp.float32)
    np.testing.assert_allclose(net(jnp.asarray(y, jnp.float32), iterates=True), expected, atol=2e-5)


def test_amp_without_memory_against_numpy_in_the_solver() -> None:
    A, y = instance(15, 30)
    A = A / np.linalg.norm(A, axis=0)
    x, expected = np.zeros(30), []
    for _ in range(12):
        v = y - A @ x
        x = soft(x + A.T @ v, np.linalg.norm(v) / np.sqrt(15))
        expected.append(x)
    with jax.enable_x64(True):
        for momentum in (False, True):  # momentum starts at 0
            algorithm = AMP(shrinkage=Soft(), onsager="none", momentum=momentum)
            found = solve(algorithm, Dense.of(A), jnp.asarray(y), 12, iterates=True).iterates
            np.testing.assert_allclose(np.asarray(found), expected, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
def test_objective_is_the_lasso_objective_and_ista_decreases_it(size: str) -> None:
    A, y = instance(*SIZES[size])
    with jax.enable_x64(True):
        solution = solve(ISTA(regularisation=LAMBDA), Dense.of(A), jnp.asarray(y), 200, iterates=True)
        iterates, objective = np.asarray(solution.iterates), np.asarray(solution.objective)
    residual = y - iterates @ A.T
    expected = 0.5 * np.sum(residual**2, axis=1) + LAMBDA * np.abs(iterates).sum(1)
    np.testing.assert_allclose(objective, expected, rtol=1e-12)
    assert objective[0] < 0.5 * y @ y
    assert (np.diff(objective) <= 1e-14).all()


def test_gradient_descent_decreases_its_objective() -> None:
    A, y = instance(15, 30)
    with jax.enable_x64(True):
        solution = solve(GradientDescent(), Dense.of(A), jnp.asarray(y), 100, iterates=True)
        objective = np.asarray(solution.objective)
    assert (np.diff(objective) <= 0).all()
