"""Any denoiser in the place of a shrinkage."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from unrollbit import FISTA, solve
from unrollbit.baselines import Classic, tune
from unrollbit.operators import Subsampling, gaussian
from unrollbit.problems import SinglePixelCamera
from unrollbit.shrinkage import Plugged
from unrollbit.shrinkage.soft import soft

A = gaussian(12, 24, seed=0)
Y = jnp.asarray(np.random.RandomState(0).randn(3, 12), jnp.float32)


def test_a_soft_threshold_as_denoiser_is_the_lasso():
    """sigma^2 = step x lambda, the threshold of FISTA."""
    algorithm = FISTA(regularisation=0.3)
    found = solve(algorithm, A, Y, 40, denoiser=lambda u, sigma: soft(u, sigma**2))
    assert_allclose(found.x, solve(algorithm, A, Y, 40).x, atol=1e-5)


def test_functions_of_numpy_run_on_the_host_signal_by_signal():
    shapes = []

    def thresholded(u, sigma):
        shapes.append((type(u), u.shape, type(sigma)))
        return np.sign(u) * np.maximum(np.abs(u) - sigma**2, 0)

    algorithm = FISTA(Plugged(thresholded, (4, 6), on_host=True), regularisation=0.3)
    assert_allclose(solve(algorithm, A, Y, 10).x, solve(FISTA(regularisation=0.3), A, Y, 10).x, atol=1e-5)
    assert set(shapes) == {(np.ndarray, (4, 6), float)}
    assert len(shapes) == 30


def test_images_come_in_the_shape_of_the_grid_and_the_noise_level_is_tuned():
    problem = SinglePixelCamera(size=8, ratio=0.5, transform=None)
    seen = []

    def smoothed(u, sigma):
        seen.append(u.shape)
        share = sigma / (sigma + 0.1)
        return (1 - share) * u + share * jnp.mean(u, axis=(-2, -1), keepdims=True)

    x, y = (part[:16] for part in problem.split("validation").all())
    solve(FISTA(), problem, y, 3, denoiser=smoothed)
    assert set(seen) == {(16, 8, 8)}
    tuned = tune(Classic(FISTA(Plugged(smoothed, (8, 8))), 10), problem, x, y, count=3)
    assert tuned.nmse_db <= min(trial.nmse_db for trial in tuned.trials)


def test_bm3d_denoises():
    bm3d = pytest.importorskip("bm3d")
    image = np.kron(np.eye(2), np.ones((16, 16))).ravel()
    noisy = jnp.asarray(image + 0.2 * np.random.RandomState(0).randn(1024), jnp.float32)
    algorithm = replace(FISTA(regularisation=0.04), shrinkage=Plugged(bm3d.bm3d, (32, 32), on_host=True))
    found = np.asarray(solve(algorithm, Subsampling.full((32, 32)), noisy, 1).x)
    assert np.mean((found - image) ** 2) < 0.2 * np.mean((np.asarray(noisy) - image) ** 2)
