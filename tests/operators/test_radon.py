"""Projections and filtered back-projection against scikit-image."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.transform

from unrollbit.operators import Radon
from unrollbit.operators.radon import filtered_back_projection

ANGLES = np.arange(0.0, 180.0, 4.0)


def phantom(size: int) -> np.ndarray:
    """Two ellipses inside the unit circle."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return 1.0 * (x**2 / 0.5 + y**2 / 0.3 < 1) - 0.6 * ((x - 0.2) ** 2 + (y + 0.1) ** 2 < 0.04)


@pytest.mark.parametrize("size", [16, 17])
@pytest.mark.filterwarnings("ignore:Radon transform")
def test_projections_equal_those_of_scikit_image(size):
    """Of noise on the whole square too: every weight counts."""
    angles = [0.0, 17.5, 45.0, 90.0, 123.0, 180.0, 270.0, -30.0]
    with jax.enable_x64(True):
        image = np.random.RandomState(0).standard_normal((size, size))
        found = Radon.of(size, angles)(jnp.asarray(image.ravel())).reshape(len(angles), size)
        np.testing.assert_allclose(found.T, skimage.transform.radon(image, angles, circle=True), atol=1e-10)


def test_a_number_of_angles_spreads_them_evenly():
    assert Radon.of(8, 4).angles == (0.0, 45.0, 90.0, 135.0)
    assert Radon.of(8, 4) == Radon.of(8, [0, 45, 90, 135])
    assert hash(Radon.of(8, 4)) == hash(Radon.of(8, [0, 45, 90, 135]))


@pytest.mark.parametrize("size", [47, 48])
def test_filtered_back_projection_equals_that_of_scikit_image(size):
    image = phantom(size)
    projections = skimage.transform.radon(image, ANGLES)
    theirs = skimage.transform.iradon(projections, ANGLES, circle=False, output_size=size)
    with jax.enable_x64(True):
        ours = filtered_back_projection(Radon.of(size, ANGLES), jnp.asarray(projections.T.ravel())).reshape(size, size)
    np.testing.assert_allclose(ours, theirs, atol=1e-10)
    assert np.sqrt(np.mean((theirs - image) ** 2)) < 0.1


def test_filtered_back_projection_takes_batches():
    A = Radon.of(8, 6)
    y = np.random.RandomState(0).standard_normal((2, 3, 48)).astype(np.float32)
    together = filtered_back_projection(A, jnp.asarray(y))
    assert together.shape == (2, 3, 64)
    np.testing.assert_allclose(together[1, 2], filtered_back_projection(A, jnp.asarray(y[1, 2])), atol=1e-5)


def test_small_ones_are_prepared_as_their_matrix_and_large_ones_are_not():
    small, large = Radon.of(8, 6), Radon.of(128, 60)
    np.testing.assert_allclose(small.prepare().dense(), small.dense(), atol=1e-6)
    assert small.prepare() is not small
    assert large.prepare() is large
