import importlib.util
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
import skimage

from unrollbit.problems import SinglePixelCamera
from unrollbit.problems.images import FILES, assemble_tiles, load_image, overlapping_tiles
from unrollbit.problems.photographs import SHIPPED, Photographs
from unrollbit.problems.transforms import transformed


def patch_camera(**options):
    return SinglePixelCamera(**{"size": 16, "transform": "dct", **options})


def crops(subset, size):
    return Photographs.of(None).crops(subset, size)


@pytest.fixture(scope="module")
def problem():
    return patch_camera()


@pytest.mark.parametrize("name", FILES)
def test_images_are_grey_float32_in_the_unit_interval(name):
    image = load_image(name)
    assert image.ndim == 2
    assert image.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1 + 1e-6
    assert image.std() > 0.01


def test_images_equal_those_of_scikit_image():
    np.testing.assert_allclose(load_image("camera"), skimage.data.camera() / 255, atol=1e-6)
    np.testing.assert_allclose(load_image("coffee"), skimage.color.rgb2gray(skimage.data.coffee()), atol=1e-6)


def test_missing_images_are_named(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"image: expected one of .*'camera'.*got 'lena'"):
        load_image("lena")
    empty = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: empty)
        with pytest.raises(FileNotFoundError, match=r"does not carry camera.png; upgrade it"):
            load_image("camera")
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(ModuleNotFoundError, match=r"pip install unrollbit\[data\]"):
            load_image("camera")


def test_tiles_reassemble_exactly():
    image = load_image("camera")
    np.testing.assert_array_equal(assemble_tiles(overlapping_tiles(image, 16, 16), image.shape), image)
    cropped = load_image("chelsea")[:288, :448]
    np.testing.assert_array_equal(assemble_tiles(overlapping_tiles(load_image("chelsea"), 16, 16), (300, 451)), cropped)
    with pytest.raises(ValueError, match=r"expected 32 x 32 = 1024 for an image of .* got 3"):
        assemble_tiles(np.zeros((3, 16, 16)), (512, 512))
    with pytest.raises(ValueError, match=r"patches of 16 pixels do not fit into an image of shape \(8, 20\)"):
        overlapping_tiles(np.zeros((8, 20)), 16, 16)


def test_overlapping_tiles_are_where_they_should_be():
    image = np.arange(40.0 * 30).reshape(40, 30)
    tiles = overlapping_tiles(image, 16, 8)
    assert tiles.shape == (4 * 2, 16, 16)
    np.testing.assert_array_equal(tiles[5], image[16:32, 8:24])


def test_subsets_have_different_images_and_share_no_patch():
    names = [name for subset in SHIPPED for name in SHIPPED[subset]]
    assert len(set(names)) == len(names)
    rows = {subset: crops(subset, 16) for subset in SHIPPED}
    assert len(rows["train"]) >= 10_000
    assert len(rows["test"]) >= 1_000
    assert {subset: len(part) for subset, part in rows.items()} == {"train": 19150, "validation": 925, "test": 1528}
    distinct = {subset: {row.tobytes() for row in part} for subset, part in rows.items()}
    assert not distinct["train"] & distinct["test"]
    assert not distinct["train"] & distinct["validation"]
    assert not distinct["validation"] & distinct["test"]


def test_no_test_patch_looks_like_a_training_patch():
    train, test = (crops(subset, 16) for subset in ("train", "test"))
    train, test = (p - p.mean(1, keepdims=True) for p in (train, test))
    structured = test[test.std(1) > 0.1][:200]
    unit = train / np.maximum(np.linalg.norm(train, axis=1, keepdims=True), 1e-6)
    match = (structured @ unit.T).max(1) / np.linalg.norm(structured, axis=1)
    assert match.max() < 0.999


@pytest.mark.long
@pytest.mark.parametrize(("transform", "wavelet"), [("dct", "db1"), ("wavelet", "db2")])
def test_transform_is_orthonormal_and_gives_back_the_pixels(transform, wavelet):
    problem = patch_camera(transform=transform, wavelet=wavelet).split("test")
    x, y = problem.all()
    pixels = crops("test", 16)
    assert y.shape == (1528, 64)
    np.testing.assert_allclose(problem.signal(x[:100]), pixels[:100], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.linalg.norm(pixels - 0.5, axis=1), rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("matrix", ["hadamard", "rademacher", "gaussian"])
def test_physics_is_patterns_on_pixels(problem, matrix):
    problem = problem if matrix == "hadamard" else patch_camera(matrix=matrix)
    assert problem.operator.shape == (64, 256)
    assert problem.operator.physics_bits() == 0
    patterns = np.asarray(problem.operator.outer.dense())
    if matrix != "gaussian":
        np.testing.assert_allclose(np.abs(patterns), 1 / 8, rtol=1e-6)
    x, y = problem.split("validation").all()
    camera = np.asarray(problem.signal(x)) @ patterns.T
    np.testing.assert_allclose(y, camera - 0.5 * patterns.sum(1), atol=1e-5)


@pytest.mark.parametrize("name", SHIPPED["test"])
def test_a_whole_image_is_rebuilt_from_its_tiles(problem, name):
    part = problem.split("test")
    x, y = part.image(name)
    original = load_image(name)
    height, width = (side // 16 * 16 for side in original.shape)
    rebuilt = part.assemble(x, name)
    assert rebuilt.shape == (height, width)
    np.testing.assert_allclose(rebuilt, original[:height, :width], atol=1e-5)
    np.testing.assert_allclose(y, transformed(part.operator, x), atol=1e-5)
    blank = part.assemble(jnp.zeros_like(x), name)
    np.testing.assert_array_equal(blank, np.full((height, width), 0.5, np.float32))


def test_images_of_other_subsets_are_refused(problem):
    for part, name in (
        (problem, "camera"),
        (problem.split("test"), "astronaut"),
        (problem.split("validation"), "camera"),
    ):
        with pytest.raises(ValueError, match=f"image: expected one of .*got '{name}' of '{part.subset}'"):
            part.image(name)


@pytest.mark.long
def test_metrics_add_psnr_and_ssim(problem):
    x, _ = problem.split("test").image("camera")
    rng = np.random.RandomState(0)
    noisy = x + 0.1 * rng.standard_normal(x.shape).astype(np.float32)
    figures = problem.metrics(noisy, x)
    assert figures["psnr_db"] == pytest.approx(20, abs=0.2)
    assert 0.1 < figures["ssim"] < 0.95
    assert problem.metrics(x, x)["ssim"] == pytest.approx(1)


@pytest.mark.long
def test_other_sizes():
    small = patch_camera(size=8, ratio=0.5, transform="wavelet")
    assert small.operator.shape == (32, 64)
    x = small.samples[0][:4]
    assert "ssim" not in small.metrics(x, x)
    with pytest.raises(ValueError, match="size: expected a positive integer, got 0"):
        patch_camera(size=0)
    with pytest.raises(ValueError, match="power of two"):
        patch_camera(size=12)
    with pytest.raises(ValueError, match="levels need sides divisible by 2"):
        patch_camera(size=15, matrix="gaussian", transform="wavelet")
    with pytest.raises(ValueError, match="wavelet: expected one of db1"):
        patch_camera(transform="wavelet", wavelet="haar")
