"""Blurred photographs of any size on the command line, and pixels in, pixels out in Python."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy.signal import convolve2d

from unrollbit import Unrolled, load, pack, recipes
from unrollbit.algorithms import ISTA
from unrollbit.cli.main import main
from unrollbit.operators import Convolution, Subsampling
from unrollbit.problems import ArrayProblem, ImageRecovery, recover_photograph

KERNEL = np.outer([1, 2, 1], [1, 2, 3, 2, 1]) / 36


@pytest.fixture(scope="module")
def deblurring(tmp_path_factory) -> tuple[ImageRecovery, Path]:
    """As recipes start it: regularised inverses and a weak prior."""
    problem = ImageRecovery(Convolution(KERNEL, (16, 16)), size=16)
    path = tmp_path_factory.mktemp("networks") / "blur.safetensors"
    pack(recipes.learned_prior(problem, 4, filters=4, size=3).network, problem=problem).save(path)
    return problem, path


def scene() -> np.ndarray:
    """A picture whose left and right sides differ, as do its top and bottom."""
    rows, columns = np.mgrid[0:60, 0:70]
    return 0.2 + 0.5 * columns / 70 + 0.1 * rows / 60 + 0.1 * np.sign(np.sin(rows / 4) * np.cos(columns / 5))


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a - b) ** 2)))


def test_a_blurred_photograph(deblurring, tmp_path: Path) -> None:
    """Of the world, which goes on beyond the border: the estimate is better than the photograph, borders included."""
    whole = scene()
    blurred = convolve2d(whole, KERNEL, mode="same")[5:-5, 5:-5]
    truth = whole[5:-5, 5:-5]
    Image.fromarray(np.uint16(np.rint(65535 * blurred))).save(tmp_path / "blurred.png")
    assert main(["recover", str(deblurring[1]), str(tmp_path / "blurred.png"), str(tmp_path / "sharp.png")]) == 0
    sharp = np.asarray(Image.open(tmp_path / "sharp.png"), np.float64) / 65535
    assert sharp.shape == truth.shape
    assert psnr(sharp, truth) > psnr(blurred, truth) + 2
    packed, A = load(deblurring[1]), Convolution(KERNEL, truth.shape)
    periodic = deblurring[0].with_physics(A).recover(packed.with_physics(A), jnp.asarray(blurred.ravel(), jnp.float32))
    assert psnr(sharp, truth) > psnr(np.asarray(periodic).reshape(truth.shape), truth) + 3


def test_pixels_in_and_out(deblurring) -> None:
    problem, path = deblurring
    packed, pixels = load(path), np.random.RandomState(0).random_sample((2, 256)).astype(np.float32)
    y = problem.operator(pixels)
    expected = packed(y - problem.operator(np.full(256, 0.5, np.float32))) + 0.5
    np.testing.assert_allclose(problem.recover(packed, y), expected, atol=1e-6)


def test_another_size_is_the_size_of_the_problem(deblurring) -> None:
    problem, path = deblurring
    moved = problem.with_physics(Convolution(KERNEL, (20, 24)))
    assert moved.signal_shape == (20, 24)
    assert load(path).with_physics(moved).network.operator.shape == (480, 480)
    with pytest.raises(ValueError, match=r"lie on a grid \(20, 24\)"):
        load(path).with_physics(moved.operator, (24, 20))
    with pytest.raises(ValueError, match="but the physics measures 20 x 24 pixels"):
        ImageRecovery(moved.operator, size=(24, 20))


def test_a_photograph_in_an_array_is_sent_elsewhere(deblurring, tmp_path: Path, capsys) -> None:
    np.save(tmp_path / "blurred.npy", scene().astype(np.float32))
    assert main(["recover", str(deblurring[1]), str(tmp_path / "blurred.npy"), str(tmp_path / "x.npy")]) == 2
    assert "is it a photograph? Say --photograph, or give it as PNG or TIFF" in capsys.readouterr().err


def test_colour_and_grey_in_python(deblurring) -> None:
    """Planes are images of their own; the command gives the same pixels."""
    packed, picture = load(deblurring[1]), scene()
    sharp = recover_photograph(packed, picture)
    assert sharp.shape == picture.shape
    np.testing.assert_allclose(recover_photograph(packed, np.stack([picture, 1 - picture]))[0], sharp, atol=1e-6)
    for wrong in (picture[0], np.full((4, 4), np.nan), np.zeros((4, 4), complex), np.zeros((0, 4)), np.uint8(picture)):
        with pytest.raises(ValueError, match="pixels: expected finite floats"):
            recover_photograph(packed, wrong)
    with pytest.raises(ValueError, match="expected planes first"):
        recover_photograph(packed, np.stack([picture] * 3, -1))
    with pytest.raises(TypeError, match="network: expected"):
        recover_photograph(deblurring[0], picture)  # pyright: ignore[reportArgumentType]


def test_a_file_of_arrays_has_no_known_pixels() -> None:
    problem = ArrayProblem(Convolution(KERNEL, (16, 16)), np.random.RandomState(0).rand(40, 256), shape=(16, 16))
    packed = pack(Unrolled(ISTA(), problem, 1), problem=problem)
    with pytest.raises(ValueError, match="this file is of ArrayProblem"):
        recover_photograph(packed, scene())


def test_what_is_no_photograph_for_a_network(deblurring, tmp_path: Path, capsys) -> None:
    problem = ImageRecovery(Subsampling.random((16, 16), 64), size=16)
    masked = tmp_path / "masked.safetensors"
    pack(Unrolled(ISTA(), problem, 1), problem=problem).save(masked)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "y.npy", np.zeros(64, np.float32))
    for arguments, message in (
        ([masked, "a.png", "b.png"], "own resolution, and this one undoes Subsampling("),
        ([masked, "a.png", "b.png"], "give it measurements, rows of m = 64"),
        ([masked, "y.npy", "b.png"], "expected a .npy file for estimates of measurements"),
    ):
        command = [str(arguments[0]), *(str(tmp_path / name) for name in arguments[1:])]
        assert main(["recover", *command]) == 2
        assert message in capsys.readouterr().err


def test_opposite_borders_do_not_ring_into_each_other() -> None:
    """A kernel that takes some frequencies away entirely, bright top and dark bottom: nothing is gained by a wider
    border of one's own.
    """
    kernel = np.ones((9, 5)) / 45
    problem = ImageRecovery(Convolution(kernel, (16, 16)), size=16)
    packed = pack(recipes.learned_prior(problem, 4, filters=4, size=3).network, problem=problem)
    rows, columns = np.mgrid[0:80, 0:60]
    blurred = convolve2d(0.9 - 0.8 * rows / 80 + 0.05 * np.sign(np.sin(columns / 4)), kernel, mode="valid")
    found = recover_photograph(packed, blurred)
    wider = recover_photograph(packed, np.pad(blurred, 60, "edge"))[60:-60, 60:-60]
    assert np.abs(found - wider)[2:-2, 2:-2].max() < 0.02  # 0.6 where borders meet in an edge
