"""Images measured by any operator: own kernels, masks and matrices, other sizes, folders, files."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from unrollbit import FISTA, FullPrecision, Stage, Unrolled, fit, load, pack
from unrollbit.cli.networks import problem_of
from unrollbit.operators import Convolution, Subsampling, gaussian
from unrollbit.problems import (
    Deblurring,
    Gaussian,
    ImageFolder,
    ImageRecovery,
    Inpainting,
    Poisson,
    Problem,
    SinglePixelCamera,
    SuperResolution,
    Tomography,
)
from unrollbit.problems.imaging import GREY

KERNEL = np.random.RandomState(0).uniform(size=(3, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten photographs of mixed sizes."""
    root = tmp_path_factory.mktemp("photographs")
    random = np.random.RandomState(0)
    for index in range(10):
        smooth = scipy.ndimage.gaussian_filter(random.uniform(size=(30 + index, 45)), 2)
        smooth = (smooth - smooth.min()) / np.ptp(smooth)
        Image.fromarray(np.round(255 * smooth).astype(np.uint8)).save(root / f"{index}.png")
    return root


@pytest.mark.parametrize("transform", [None, "dct"])
def test_an_own_kernel_blurs_images_that_are_not_square(folder, transform):
    problem = ImageRecovery(Convolution.of(KERNEL, (16, 24)), folder, size=(16, 24), transform=transform)
    for subset in ("train", "test"):
        x, y = problem.split(subset).sample(jax.random.key(0), 3)
        pixels = np.asarray(problem.signal(x)).reshape(3, 16, 24)
        wanted = [scipy.ndimage.convolve(image - GREY, KERNEL, mode="wrap", origin=0) for image in pixels]
        np.testing.assert_allclose(y.reshape(3, 16, 24), wanted, atol=1e-4)
        assert pixels.min() + 1e-5 >= 0
        assert pixels.max() <= 1 + 1e-5


@pytest.mark.long
def test_training_crops_are_drawn_anew(folder):
    problem = ImageRecovery(Subsampling.of((16, 16), [0, 5, 77]), folder, Gaussian(sigma=0.01))
    assert problem.crops == "random"
    first, again, other = (problem.sample(jax.random.key(seed), 200)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    rows = [{row.tobytes() for row in np.asarray(part)} for part in (first, other)]
    assert len(rows[0] & rows[1]) < 40  # of some 40,000 crops
    tiles = problem.all()[0]
    heights = [problem.images.shape(name)[0] for name in problem.images.names("train")]
    assert len(tiles) == sum(height // 16 * 2 for height in heights)
    grid = ImageRecovery(Subsampling.of((16, 16), [0, 5, 77]), folder, crops="grid")
    assert len(grid.all()[0]) > len(tiles)
    assert ImageRecovery(Subsampling.of((16, 16), [0])).crops == "grid"


@pytest.mark.long
@pytest.mark.parametrize("make", [Deblurring, Inpainting, SinglePixelCamera, SuperResolution])
def test_problems_of_other_sizes(make):
    options = {"matrix": "gaussian"} if make is SinglePixelCamera else {}
    problem = make(size=(16, 24), transform=None, **options)
    assert problem.signal_shape == (16, 24)
    spec = json.loads(json.dumps(problem.to_spec()))
    assert spec["size"] == [16, 24]
    assert Problem.from_spec(spec) == problem
    part = problem.split("test")
    x, _ = part.image("chelsea")
    assert part.assemble(x, "chelsea").shape == (300 // 16 * 16, 451 // 24 * 24)
    assert part.metrics(x, x)["ssim"] == pytest.approx(1)
    with pytest.raises(ValueError, match="size: expected one side, of a square image"):
        Tomography(size=(16, 24))


@pytest.mark.long
def test_noise_is_added_to_what_the_detector_sees(folder):
    blur = Convolution.of(np.ones((3, 3)) / 9, (16, 16))
    problem = ImageRecovery(blur, folder, Poisson(photons=200)).split("test")
    x, y = problem.sample(jax.random.key(0), 4000)
    clean = np.asarray(blur(problem.signal(x)), np.float64)
    noise = np.asarray(y, np.float64) + GREY - clean
    assert (noise**2 / clean).mean() == pytest.approx(1 / 200, rel=0.05)


def trained(problem):
    net = Unrolled(FISTA(), problem, 2, FullPrecision(), distinct=1)
    fit(net, problem, Stage(3, batch=4), progress=False)
    return net


@pytest.mark.long
@pytest.mark.parametrize("transform", [None, "dct"])
@pytest.mark.parametrize("physics", ["small", "large"])
def test_a_file_brings_the_physics(folder, tmp_path, physics, transform):
    A = Convolution.of(KERNEL, (16, 16)) if physics == "small" else gaussian(40, 256, 3) * 2.0
    if physics == "large":
        A = np.asarray(A.dense())
    problem = ImageRecovery(A, ImageFolder(folder, seed=2), snr_db=30.0, transform=transform)
    pack(trained(problem), problem=problem).save(tmp_path / "network.safetensors")
    packed = load(tmp_path / "network.safetensors")
    assert str(folder) not in json.dumps(packed.problem)
    with pytest.raises(ValueError, match="images: the data of this problem"):
        problem_of(packed, data=tmp_path)
    found = problem_of(packed, data=folder)
    np.testing.assert_allclose(found.measurement.dense(), problem.measurement.dense(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.split("test").all()[1], problem.split("test").all()[1], atol=1e-4)
    assert found.images.seed == 2


def test_physics_from_files(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("A.npy", np.asarray(gaussian(20, 64, 0).dense()))
    np.save("kernel.npy", KERNEL)
    problem = Problem.from_spec({"kind": "ImageRecovery", "physics": "A.npy", "images": str(folder)})
    assert problem.signal_shape == (8, 8)
    assert problem.to_spec()["physics"] == "A.npy"
    found = Problem.from_spec(problem.recipe(), data=[tmp_path, folder])
    assert (found.operator, found.images) == (problem.operator, problem.images)
    table = {"kind": "Convolution", "kernel": "kernel.npy"}
    blurred = Problem.from_spec({"kind": "ImageRecovery", "physics": table, "images": str(folder), "size": [16, 24]})
    np.testing.assert_array_equal(blurred.measurement.kernel, KERNEL)
    assert blurred.signal_shape == (16, 24)
    assert Problem.from_spec(json.loads(json.dumps(blurred.to_spec()))) == blurred


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageRecovery(np.ones((4, 30))), "size: missing; expected .height, width. of the 30 pixels"),
        (lambda: ImageRecovery(np.ones((4, 64)), size=16), "size: 16 x 16 are 256 pixels, but .* 64 unknowns"),
        (lambda: ImageRecovery("A.npy"), "physics: no such file: A.npy"),
        (lambda: ImageRecovery(np.eye(64), crops="dense"), "crops: expected one of 'grid', 'random'"),
        (lambda: ImageRecovery(np.eye(64), size=(8, 0)), "size: expected a positive integer, got 0"),
        (lambda: ImageRecovery(np.eye(64), size=(8, 8, 1)), "size: expected a positive integer, got .8, 8, 1."),
        (lambda: Problem.from_spec({"kind": "ImageRecovery"}), "missing 'physics'"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
