"""Photographs of any size, whole or in tiles."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from unrollbit.cli.whole_images import Camera, picture_row, summary
from unrollbit.problems import BlockCamera, Deblurring, MagneticResonance

KEY = jax.random.key(0)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.RandomState(0).uniform(size=(height, width)).astype(np.float32)


@pytest.mark.parametrize(
    ("problem", "shape", "tiles"),
    [
        (lambda: Deblurring(size=16, transform=None, snr_db=30.0), (20, 27), (1, 1)),
        (lambda: BlockCamera(size=16, block=8, patterns="hadamard"), (24, 32), (1, 1)),
        (lambda: MagneticResonance(size=16, transform=None), (16, 16), (2, 2)),
    ],
)
def test_what_is_measured_is_put_together_again(problem, shape, tiles) -> None:
    pixels = picture(20, 27)
    found = Camera(problem())(pixels, KEY)
    assert (found.shape, found.tiles) == (shape, tiles)
    assert found.y.shape == (tiles[0] * tiles[1], found.problem.operator.shape[0])
    np.testing.assert_allclose(found.assembled(found.x), pixels, atol=1e-6)
    np.testing.assert_array_equal(Camera(problem())(pixels, KEY).y, found.y)


def test_the_noise_is_that_of_the_problem() -> None:
    noisy, clean = (
        Camera(Deblurring(size=16, transform=None, snr_db=level))(picture(64, 64), KEY) for level in (20.0, None)
    )
    error = np.linalg.norm(np.asarray(noisy.y - clean.y)) / np.linalg.norm(np.asarray(clean.y))
    assert 20 * np.log10(error) == pytest.approx(-20, abs=0.3)


def test_figures_are_those_of_clipped_estimates() -> None:
    pixels = picture(12, 14)
    rows = [picture_row("a", pixels + 0.1, pixels), picture_row("b", pixels + 0.01, pixels)]
    assert [row["psnr_db"] for row in rows] == pytest.approx([20, 40], abs=1e-3)
    found = summary(rows)
    assert found["psnr_db"] == pytest.approx(30, abs=1e-3)
    assert found["psnr_db_of_mean_error"] == pytest.approx(-10 * np.log10((1e-2 + 1e-4) / 2), abs=1e-3)
    assert picture_row("small", picture(8, 20), picture(8, 20))["ssim"] is None


def test_coefficients_are_no_pixels() -> None:
    with pytest.raises(ValueError, match="unknowns are pixels"):
        Camera(Deblurring(size=16, transform="dct"))
