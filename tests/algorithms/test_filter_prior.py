"""Algorithms with a filter prior: against an independent minimiser, and networks against solvers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from unrollbit import FullPrecision, Unrolled, solve
from unrollbit.algorithms import Algorithm, ForwardBackward, Levels, ReactionDiffusion
from unrollbit.algorithms.filters import dct_atoms, differences, largest_gain
from unrollbit.algorithms.levels import noise_deviation
from unrollbit.operators import Convolution, Subsampling, gaussian
from unrollbit.shrinkage import Clips, NonNegative

SHAPE, KNOT, WEIGHT = (6, 5), 0.05, 0.1
BLUR = Convolution.of(np.outer([1, 2, 1], [1, 2, 1]) / 16, SHAPE)


def total_variation(kind: type, shape=SHAPE, **options):
    smoothed = Clips((KNOT,), (1 / KNOT,))
    return kind(signal_shape=shape, start="differences", influence=smoothed, regularisation=WEIGHT, **options)


def minimiser(A: np.ndarray, y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of ``||y - A x||^2 / 2 + weight sum huber(differences)``, by SciPy in float64."""

    def huber(d):
        size = np.abs(d)
        return np.where(size <= KNOT, d * d / (2 * KNOT), size - KNOT / 2).sum(), np.clip(d / KNOT, -1, 1)

    def objective(x):
        image, slope = x.reshape(shape), np.zeros(shape)
        residual, total = A @ x - y, 0.0
        for axis in range(len(shape)):
            value, phi = huber(np.diff(image, axis=axis))
            total += value
            pads = [(1, 1) if i == axis else (0, 0) for i in range(len(shape))]
            slope -= np.diff(np.pad(phi, pads), axis=axis)
        return 0.5 * residual @ residual + WEIGHT * total, A.T @ residual + WEIGHT * slope.ravel()

    options = {"maxiter": 20000, "ftol": 1e-16, "gtol": 1e-12}
    return scipy.optimize.minimize(objective, np.zeros(A.shape[1]), jac=True, method="L-BFGS-B", options=options).x


@pytest.mark.long
@pytest.mark.parametrize("kind", [ForwardBackward, ReactionDiffusion])
@pytest.mark.parametrize("A", [BLUR, gaussian(20, 30, seed=1)], ids=["blur", "dense"])
def test_differences_and_clips_are_smoothed_total_variation(kind, A) -> None:
    with jax.enable_x64(True):
        y = np.random.RandomState(0).standard_normal(A.shape[0])
        expected = minimiser(np.asarray(A.dense(), np.float64), y, SHAPE)
        found = solve(total_variation(kind), A, jnp.asarray(y), 4000, iterates=True)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.x, expected, atol=2e-3 * scale)
    assert found.objective[-1] <= found.objective[0]


def test_total_variation_of_signals() -> None:
    with jax.enable_x64(True):
        y = np.random.RandomState(0).standard_normal(12)
        algorithm = total_variation(ForwardBackward, (12,))
        found = solve(algorithm, Subsampling.full(12), jnp.asarray(y), 2000).x
    np.testing.assert_allclose(found, minimiser(np.eye(12), y, (12,)), atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("kind", [ForwardBackward, ReactionDiffusion])
@pytest.mark.parametrize("levels", [None, Levels(unit=0.5), Levels(of="noise")], ids=["fixed", "signal", "noise"])
def test_a_network_at_its_start_is_the_solver(kind, levels) -> None:
    algorithm = kind(signal_shape=(8, 8), levels=levels, influence=Clips(bits=32), shrinkage=NonNegative())
    A = Convolution.of([[0.25, 0.5, 0.25]], (8, 8))
    y = jax.random.normal(jax.random.key(0), (3, 64))
    net = Unrolled(algorithm, A, 5, FullPrecision())
    np.testing.assert_allclose(net(y), solve(algorithm, A, y, 5).x, atol=1e-5)
    assert Algorithm.from_spec(algorithm.to_spec()) == algorithm


@pytest.mark.long
def test_levels_make_thresholds_follow_the_unit() -> None:
    """With exponents that add up to 1, a signal in another unit has its estimate in that unit."""
    levels = Levels(unit=0.3, alpha=0.6, beta=0.4, gamma=0.0)
    algorithm = ForwardBackward(signal_shape=(8, 8), levels=levels)
    y = jax.random.normal(jax.random.key(0), (2, 64))
    blur = Convolution.of([[0.25, 0.5, 0.25]], (8, 8))
    x, larger = (solve(algorithm, blur, scale * y, 5).x for scale in (1.0, 1000.0))
    np.testing.assert_allclose(larger / 1000.0, x, rtol=1e-3, atol=1e-4)
    for of in ("signal", "noise"):
        zero = ForwardBackward(signal_shape=(8, 8), levels=Levels(of=of))
        value, slope = jax.value_and_grad(lambda y, zero=zero: jnp.sum(solve(zero, blur, y, 3).x))(0.0 * y)
        assert value == 0
        assert np.isfinite(slope).all()


def test_the_deviation_of_noise() -> None:
    random = np.random.RandomState(0)
    ramp = np.add.outer(np.linspace(0, 1, 64), np.linspace(0, 2, 64))
    noisy = ramp + 0.07 * random.standard_normal(ramp.shape)
    assert float(noise_deviation(jnp.asarray(noisy.ravel()), (64, 64))[0]) == pytest.approx(0.07, rel=0.1)


def test_filters_at_the_start() -> None:
    for shape, count in (((5, 5), 24), ((15,), 14), ((3, 3), 5)):
        atoms = dct_atoms(shape, count).reshape(-1, count)
        np.testing.assert_allclose(atoms.T @ atoms, np.eye(count), atol=1e-12)
        np.testing.assert_allclose(atoms.sum(0), 0, atol=1e-12)
    assert largest_gain(differences(2)) == pytest.approx(8)
    with pytest.raises(ValueError, match="have 8 atoms without a mean"):
        dct_atoms((3, 3), 9)
    with pytest.raises(ValueError, match="expected the grid of the 30 unknowns"):
        ForwardBackward(signal_shape=(6, 6)).maps(gaussian(20, 30))
