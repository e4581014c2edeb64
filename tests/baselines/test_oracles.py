"""Baselines against other implementations of the same method: pyproximal, scikit-learn, scikit-image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from numpy.testing import assert_allclose
from skimage.restoration import denoise_tv_chambolle
from sklearn.linear_model import OrthogonalMatchingPursuit, Ridge

from unrollbit.baselines import OMP, LinearMMSE, Tikhonov, TotalVariation
from unrollbit.baselines.ridge import ConvergedGradients
from unrollbit.operators import Convolution, Dense, Hadamard, Subsampling, Wavelet, gaussian

RANDOM = np.random.RandomState(0)
SIDE = 12


def picture() -> np.ndarray:
    image = np.zeros((SIDE, SIDE))
    image[2:7, 3:9], image[6:10, 6:11] = 1.0, -0.5
    return image.ravel()


def total_variation(x: np.ndarray, shape: tuple[int, ...]) -> float:
    """By hand."""
    grid, squares = x.reshape(shape), np.zeros(shape)
    for axis in range(len(shape)):
        step = np.diff(grid, axis=axis)
        squares[tuple(slice(0, side) for side in step.shape)] += step**2
    return float(np.sqrt(squares).sum())


def with_pyproximal(matrix: np.ndarray, y: np.ndarray, weight: float, shape: tuple[int, ...]) -> np.ndarray:
    """The minimiser by pyproximal's primal-dual method, with its own gradient and norms."""
    import pylops
    import pyproximal

    options = {"dims": shape, "edge": False, "kind": "forward", "dtype": "float64"}
    gradient = pylops.Gradient(**options) if len(shape) > 1 else pylops.FirstDerivative(**options)
    penalty = pyproximal.L21(ndim=len(shape), sigma=weight) if len(shape) > 1 else pyproximal.L1(sigma=weight)
    data = pyproximal.L2(Op=pylops.MatrixMult(matrix), b=y, niter=200)
    step = 0.95 / np.sqrt(4 * len(shape))
    start = np.zeros(matrix.shape[1])
    return pyproximal.optimization.primaldual.PrimalDual(data, penalty, gradient, start, step, step, niter=3000)


@pytest.mark.long
@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (Hadamard(64, 128), (128,)),  # orthonormal rows
        (Dense.of(RANDOM.randn(40, SIDE**2) / 6), (SIDE, SIDE)),  # decomposed
        (Convolution.of(np.outer([1, 2, 1], [1, 2, 1]) / 16, (SIDE, SIDE)), (SIDE, SIDE)),  # by Fourier transforms
    ],
)
def test_total_variation_has_the_minimiser_of_pyproximal(operator, shape):
    truth = picture() if len(shape) == 2 else np.repeat([0.0, 1.0, -1.0, 0.5], 32)
    with jax.enable_x64(True):
        matrix = np.asarray(operator.dense(), np.float64)
        y = matrix @ truth + 0.02 * RANDOM.randn(len(matrix))
        ours = TotalVariation(shape, weight=0.05, power=0, iterations=4000)(operator, jnp.asarray(y))
        ours = np.asarray(ours)

    def objective(x):
        return 0.5 * np.sum((matrix @ x - y) ** 2) + 0.05 * total_variation(x, shape)

    theirs = with_pyproximal(matrix, y, 0.05, shape)
    assert objective(ours) == pytest.approx(objective(theirs), rel=1e-3)
    assert objective(ours) < objective(truth)
    assert_allclose(ours, theirs, atol=0.02)


def test_denoising_by_total_variation_is_that_of_scikit_image():
    noisy = picture() + 0.2 * RANDOM.randn(SIDE**2)
    found = TotalVariation((SIDE, SIDE), weight=0.15, power=0, iterations=500)(
        Subsampling.full((SIDE, SIDE)), jnp.asarray(noisy, jnp.float32)
    )
    theirs = denoise_tv_chambolle(noisy.reshape(SIDE, SIDE), weight=0.15, eps=1e-9, max_num_iter=5000)
    assert_allclose(np.asarray(found).reshape(SIDE, SIDE), theirs, atol=3e-3)


@pytest.mark.long
def test_without_an_exact_data_step_the_minimiser_is_the_same(monkeypatch):
    A = Convolution.of(np.outer([1, 2, 1], [1, 2, 1]) / 16, (SIDE, SIDE), "zero")
    y = A(jnp.asarray(picture(), jnp.float32))
    method = TotalVariation((SIDE, SIDE), weight=0.02, power=0, iterations=3000)
    exact = method(A, y)
    monkeypatch.setattr("unrollbit.operators.inverse.LARGEST_SVD", 1)
    again = Convolution.of(np.outer([1, 2, 1], [1, 2, 1]) / 16 * (1 + 1e-6), (SIDE, SIDE), "zero")  # nothing is known
    assert not method.constants(again)["ridge"].exact
    assert_allclose(method(again, y), exact, atol=5e-3)


@pytest.mark.long
def test_coefficients_have_the_total_variation_of_their_synthesis():
    psi = Wavelet.of((16, 16), "db2")
    phi = gaussian(100, 256, seed=1)
    pixels = jnp.asarray(np.kron(picture().reshape(SIDE, SIDE)[:4, :4], np.ones((4, 4))).ravel(), jnp.float32)
    y = phi(pixels)
    direct = TotalVariation((16, 16), weight=0.05)(phi, y)
    assert_allclose(psi(TotalVariation((16, 16), psi, weight=0.05)(phi @ psi, y)), direct, atol=1e-4)


def test_tikhonov_is_ridge_regression_of_scikit_learn():
    A, y = RANDOM.randn(20, 30), RANDOM.randn(5, 20)
    theirs = Ridge(alpha=0.7, fit_intercept=False).fit(A, y.T).coef_
    assert_allclose(Tikhonov(0.7)(Dense.of(A), jnp.asarray(y, jnp.float32)), theirs, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("operator", [Hadamard(64, 144 - 16), Dense.of(RANDOM.randn(40, SIDE**2))])
def test_tikhonov_on_a_grid_solves_its_normal_equations(operator):
    n = operator.shape[1]
    shape = (n,) if n != SIDE**2 else (SIDE, SIDE)
    A = np.asarray(operator.dense(), np.float64)
    D = [np.diff(np.eye(side), axis=0) for side in shape]
    L = D[0].T @ D[0] if len(D) == 1 else np.kron(D[0].T @ D[0], np.eye(SIDE)) + np.kron(np.eye(SIDE), D[1].T @ D[1])
    y = RANDOM.randn(3, len(A))
    theirs = np.linalg.solve(A.T @ A + 0.3 * L, A.T @ y.T).T
    ours = Tikhonov(0.3, shape)(operator, jnp.asarray(y, jnp.float32))
    assert np.linalg.norm(ours - theirs) < 0.01 * np.linalg.norm(theirs)  # constants are penalised a little


@pytest.mark.long
@pytest.mark.parametrize("noise", [1e-4, 1e-2, 1.0])
def test_tikhonov_of_a_large_blur_solves_its_normal_equations(noise):
    """48 x 48: too large to be decomposed, so that gradients must run until they have converged."""
    side, kernel = 48, np.outer([1.0, 2, 3, 4, 5, 4, 3], [1.0, 1, 2, 1, 1]) / 132
    A = Convolution(kernel.astype(np.float32), (side, side))
    x = np.cumsum(RANDOM.randn(2, side, side), axis=2).reshape(2, -1)
    y = np.asarray(A(jnp.asarray(x, jnp.float32))) + 0.1 * RANDOM.randn(2, side**2)
    blur = np.asarray(A(jnp.eye(side**2, dtype=jnp.float32)), np.float64).T
    d = scipy.sparse.csr_array(np.diff(np.eye(side), axis=0))
    one = scipy.sparse.eye_array(side)
    penalty = scipy.sparse.kron(d.T @ d, one) + scipy.sparse.kron(one, d.T @ d)
    theirs = np.linalg.solve(blur.T @ blur + noise * penalty.toarray(), blur.T @ y.T).T
    ours = Tikhonov(noise, (side, side))(A, jnp.asarray(y, jnp.float32))
    assert np.linalg.norm(ours - theirs) < 2e-3 * np.linalg.norm(theirs)


@pytest.mark.long
def test_gradients_in_every_unit_and_of_single_signals(monkeypatch):
    """A signal that is not finite stays so and touches no other; units and batches do not matter; gradients exist."""
    monkeypatch.setattr("unrollbit.baselines.linear.LARGEST_SVD", 1)
    A, y = Dense.of(RANDOM.randn(12, 16)), jnp.asarray(RANDOM.randn(3, 12), jnp.float32)
    method = Tikhonov(0.5, (16,))
    found = method(A, y)
    for unit in (1e-18, 1e18):
        assert_allclose(method(A, unit * y) / unit, found, rtol=1e-4, atol=1e-5)
    assert_allclose(method(A, y[1]), found[1], atol=1e-5)
    assert not np.any(np.asarray(method(A, jnp.zeros(12))))
    for bad in (np.nan, np.inf):
        spoiled = np.asarray(method(A, y.at[1, 0].set(bad)))
        assert np.isnan(spoiled[1]).all()
        assert_allclose(spoiled[[0, 2]], found[np.array([0, 2])], atol=1e-5)
    matrix = np.asarray(jax.jacobian(lambda y: method(A, y))(y[0]))
    assert_allclose(matrix @ np.asarray(y[0]), found[0], atol=1e-4)


@pytest.mark.parametrize("noise", [(32, 32), 0.0, -1.0, "much", np.float64(-1), np.float32("nan")])
def test_a_shape_is_no_noise(noise):
    with pytest.raises(ValueError, match=r"noise: expected a number > 0 .*signal_shape="):
        Tikhonov(noise)


def test_linear_mmse_is_the_regression_on_measurements():
    """With the sample's own covariance it is least squares of x on y with as much noise variance added."""
    A = RANDOM.randn(6, 10)
    x = RANDOM.randn(4000, 10) * np.arange(1, 11) + 3.0
    covariance, mean = np.cov(x.T, bias=True), x.mean(0)
    y = x @ A.T + 0.5 * RANDOM.randn(4000, 6)
    gain = covariance @ A.T @ np.linalg.inv(A @ covariance @ A.T + 0.25 * np.eye(6))
    ours = LinearMMSE.of(jnp.asarray(x), noise=0.25)(Dense.of(A), jnp.asarray(y[:50], jnp.float32))
    assert_allclose(ours, mean + (y[:50] - mean @ A.T) @ gain.T, rtol=1e-3, atol=1e-3)


@pytest.mark.long
def test_a_stationary_covariance_is_solved_by_conjugate_gradients(monkeypatch):
    random = np.random.RandomState(1)
    x = np.cumsum(random.randn(500, 64), axis=1)
    A = gaussian(32, 64, seed=0)
    y = A(jnp.asarray(x[:20], jnp.float32))
    monkeypatch.setattr("unrollbit.baselines.linear._LARGEST", 1)
    method = LinearMMSE.of(x, (64,), noise=1e-3)
    decomposed = method(A, y)
    monkeypatch.setattr("unrollbit.baselines.linear.LARGEST_SVD", 1)
    again = Dense.of(A.dense())  # the other one holds its decomposition
    assert isinstance(method.constants(again)[1], ConvergedGradients)
    assert_allclose(method(again, y), decomposed, atol=2e-3 * float(jnp.abs(decomposed).max()))
    error = np.sum((np.asarray(decomposed) - x[:20]) ** 2) / np.sum(x[:20] ** 2)
    assert error < 0.5 * np.sum((np.asarray(Tikhonov(1e-3)(A, y)) - x[:20]) ** 2) / np.sum(x[:20] ** 2)


@pytest.mark.parametrize("nonzeros", [1, 5, 12])
def test_omp_is_that_of_scikit_learn(nonzeros):
    A = RANDOM.randn(30, 60)
    A /= np.linalg.norm(A, axis=0)
    y = RANDOM.randn(4, 30)
    theirs = OrthogonalMatchingPursuit(n_nonzero_coefs=nonzeros, fit_intercept=False).fit(A, y.T).coef_
    ours = OMP(nonzeros, tolerance=0.0)(Dense.of(A), jnp.asarray(y, jnp.float32))
    assert_allclose(ours, theirs, atol=1e-4)


def test_omp_stops_for_every_signal_on_its_own():
    A = gaussian(40, 80, seed=2)
    x = np.zeros((3, 80), np.float32)
    x[0, 3], x[1, [1, 7, 9]], x[1, 20] = 2.0, 1.0, -3.0  # one, four, none
    found = OMP(10)(A, A(jnp.asarray(x)))
    assert_allclose(found, x, atol=1e-5)
    assert (np.count_nonzero(np.asarray(found), axis=1) == [1, 4, 0]).all()


@pytest.mark.long
def test_methods_run_under_jit_and_vmap():
    A = gaussian(12, 16, seed=0)
    y = jnp.asarray(RANDOM.randn(3, 12), jnp.float32)
    for method in (TotalVariation((16,)), Tikhonov(signal_shape=(16,)), OMP(3)):
        together = method(A, y)
        assert_allclose(jax.jit(lambda y, method=method: method(A, y))(y), together, rtol=1e-4, atol=1e-5)
        assert_allclose(jax.vmap(lambda y, method=method: method(A, y))(y), together, rtol=1e-4, atol=1e-5)


def test_few_signals_on_a_grid_have_a_stationary_covariance():
    """Fewer than two signals an unknown: their own covariance would leave out what they do not span."""
    random = np.random.RandomState(0)
    walks = np.cumsum(random.randn(400, 64), axis=1)
    A = gaussian(32, 64, seed=0)
    few, many = LinearMMSE.of(walks[:40], (64,)), LinearMMSE.of(walks, (64,))
    assert (few.gaussian.root.ndim, many.gaussian.root.ndim) == (1, 2)
    assert LinearMMSE.of(walks[:40]).gaussian.root.ndim == 2  # without a grid there is nothing better
    test = np.cumsum(random.randn(200, 64), axis=1).astype(np.float32)
    errors = [np.sum((np.asarray(method(A, A(test))) - test) ** 2) for method in (few, LinearMMSE.of(walks[:40]))]
    assert errors[0] < errors[1]
