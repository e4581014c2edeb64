"""Folders of images: files written by Pillow in all formats are read back; no image is in two subsets."""

from __future__ import annotations

import os
import shutil

import jax
import numpy as np
import pytest
from PIL import Image

from unrollbit.problems import ImageFolder, Photographs
from unrollbit.problems.images import image_shape, read_grey
from unrollbit.problems.random_crops import RandomCrops

RNG = np.random.RandomState(0)
GREY8 = RNG.randint(0, 256, (21, 34), np.uint8)
GREY16 = RNG.randint(0, 65536, (21, 34)).astype(np.uint16)
COLOUR = RNG.randint(0, 256, (21, 34, 3), np.uint8)
LUMINANCE = COLOUR @ np.array([0.2125, 0.7154, 0.0721]) / 255


def written(folder, count=10, shape=(20, 30), ending=".png"):
    """A folder of images that are all different."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        pixels = np.random.RandomState(index + 100 * shape[0]).randint(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:02d}{ending}")
    return folder


@pytest.mark.parametrize(
    ("name", "image", "truth", "tolerance"),
    [
        ("grey.png", Image.fromarray(GREY8), GREY8 / 255, 1e-7),
        ("grey.tif", Image.fromarray(GREY8), GREY8 / 255, 1e-7),
        ("grey16.png", Image.fromarray(GREY16), GREY16 / 65535, 1e-7),
        ("grey16.tiff", Image.fromarray(GREY16), GREY16 / 65535, 1e-7),
        ("float.tif", Image.fromarray((GREY16 / 65535).astype(np.float32)), GREY16 / 65535, 1e-7),
        ("colour.png", Image.fromarray(COLOUR), LUMINANCE, 1e-6),
        ("colour.TIF", Image.fromarray(COLOUR), LUMINANCE, 1e-6),
        ("clear.png", Image.fromarray(np.dstack([COLOUR, GREY8])), LUMINANCE, 1e-6),
        ("palette.png", Image.fromarray(GREY8 // 16 * 16).quantize(16), GREY8 // 16 * 16 / 255, 0.02),
        ("bilevel.png", Image.fromarray(GREY8 > 100), (GREY8 > 100) * 1.0, 1e-7),
        ("grey.jpg", Image.fromarray(np.full((21, 34), 100, np.uint8)), np.full((21, 34), 100) / 255, 0.01),
    ],
)
def test_formats_are_read_back(tmp_path, name, image, truth, tolerance):
    image.save(tmp_path / name)
    found = read_grey(tmp_path / name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, truth, atol=tolerance)
    assert image_shape(tmp_path / name) == (21, 34)


def test_colour_of_sixteen_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "a.tif", COLOUR.astype(np.uint16) * 257, photometric="rgb")
    np.testing.assert_allclose(read_grey(tmp_path / "a.tif"), LUMINANCE, atol=1e-6)


def test_photographs_are_turned_as_their_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(GREY8).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_allclose(read_grey(tmp_path / "a.png"), np.rot90(GREY8, -1) / 255, atol=1e-7)
    assert image_shape(tmp_path / "a.png") == (34, 21)


def subsets(images):
    return {subset: images.names(subset) for subset in ("train", "validation", "test")}


def test_one_folder_is_split_by_file(tmp_path):
    for inside in ("", "a", "b/c"):
        written(tmp_path / inside, 10, (20, 30 + len(inside)))
    found = subsets(ImageFolder(tmp_path))
    assert [len(names) for names in found.values()] == [24, 3, 3]
    assert len(set().union(*found.values())) == 30
    assert found == subsets(ImageFolder(str(tmp_path)))
    assert found != subsets(ImageFolder(tmp_path, seed=1))
    assert [len(names) for names in subsets(ImageFolder(tmp_path, (0.5, 0.2, 0.3))).values()] == [15, 6, 9]
    assert {name.count("/") for names in found.values() for name in names} == {0, 1, 2}


@pytest.mark.parametrize("validation", ["val", "validation", "Valid"])
def test_three_folders_are_the_subsets(tmp_path, validation):
    root = tmp_path / "set" / "images"
    for width, (inside, count) in enumerate((("train/cats", 3), ("train", 2), (validation, 2), ("test", 4)), 30):
        written(root / inside, count, (20 + width, width))
    found = subsets(ImageFolder(tmp_path))
    assert [len(names) for names in found.values()] == [5, 2, 4]
    images = ImageFolder(tmp_path)
    np.testing.assert_array_equal(images.read("test/00"), read_grey(root / "test" / "00.png"))  # 00 is in all of them
    assert images.shape("train/cats/01") == (50, 30)


def test_validation_comes_from_training_where_it_has_no_folder(tmp_path):
    written(tmp_path / "train", 9), written(tmp_path / "test", 3, (40, 40))
    assert [len(names) for names in subsets(ImageFolder(tmp_path)).values()] == [8, 1, 3]


def test_copies_do_not_leak(tmp_path):
    written(tmp_path, 10)
    for index in range(10):
        shutil.copy(tmp_path / f"{index:02d}.png", tmp_path / f"copy{index}.png")
        Image.open(tmp_path / f"{index:02d}.png").save(tmp_path / f"{index:02d}.jpg")
    found = subsets(ImageFolder(tmp_path))
    assert sum(len(names) for names in found.values()) == 20
    pictures = {subset: {name[:2] for name in names} for subset, names in found.items()}
    assert not pictures["train"] & (pictures["test"] | pictures["validation"])
    rows = {subset: {row.tobytes() for row in ImageFolder(tmp_path).crops(subset, 20)} for subset in found}
    assert not rows["train"] & (rows["test"] | rows["validation"])


def test_the_same_image_in_two_folders_is_refused(tmp_path):
    for inside in ("train", "val", "test"):
        written(tmp_path / inside, 3, (20, 20 + len(inside)))
    shutil.copy(tmp_path / "train" / "01.png", tmp_path / "test" / "other.png")
    with pytest.raises(ValueError, match=r"other.png is in two of .*train"):
        ImageFolder(tmp_path)


def test_crops_of_mixed_sizes(tmp_path):
    written(tmp_path, 6, (20, 30)), written(tmp_path / "small", 2, (9, 90))
    images = ImageFolder(tmp_path, (0.5, 0.25, 0.25))
    with pytest.warns(UserWarning, match=r"left out, smaller than 10 x 15 pixels: small/0"):
        parts = {subset: images.crops(subset, (10, 15)) for subset in ("train", "validation", "test")}
    large = {subset: [n for n in names if "small" not in n] for subset, names in subsets(images).items()}
    assert {s: len(part) for s, part in parts.items()} == {
        s: len(names) * (9 if s == "train" else 4) for s, names in large.items()
    }
    name = large["test"][0]
    first, count = images.place("test", name, (10, 15))
    tiles = parts["test"][first : first + count].reshape(-1, 10, 15)
    np.testing.assert_array_equal(images.assembled(tiles, name), images.read(name))
    with pytest.raises(ValueError, match="all photographs of train are smaller than 50 x 50"):
        images.crops("train", 50)


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(ValueError, match="no such folder"):
        ImageFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no images inside; expected .png, .jpg"):
        ImageFolder(tmp_path)
    written(tmp_path, 2)
    with pytest.raises(ValueError, match="images: 2 are too few to split"):
        ImageFolder(tmp_path)
    written(tmp_path, 5)
    (tmp_path / "03.png").write_bytes((tmp_path / "02.png").read_bytes()[:100])
    images = ImageFolder(tmp_path)
    subset = next(subset for subset, names in subsets(images).items() if "03" in names)
    with pytest.raises(ValueError, match=r"03.png: not a readable image"):
        images.crops(subset, 10)
    for wrong in ((0.5, 0.5), (0.8, 0.3, -0.1), 0.5):
        with pytest.raises(ValueError, match="split: expected three positive shares"):
            ImageFolder(tmp_path, wrong)
    with pytest.raises(ValueError, match="seed: expected an integer"):
        ImageFolder(tmp_path, seed=-1)


def test_a_changed_file_is_read_again(tmp_path):
    written(tmp_path, 3)
    first = ImageFolder(tmp_path)
    before = first.crops("train", 20)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / f"{first.names('train')[0]}.png")
    os.utime(tmp_path / f"{first.names('train')[0]}.png", (1, 1))
    assert first != ImageFolder(tmp_path)
    assert not np.array_equal(ImageFolder(tmp_path).crops("train", 20), before)


def windows(image, height, width):
    """All crops of an image in all eight orientations (four where they are not square)."""
    found = set()
    views = np.lib.stride_tricks.sliding_window_view(image, (height, width)).reshape(-1, height, width)
    for view in views:
        for turned in (view, view[::-1]):
            for mirrored in (turned, turned[:, ::-1]):
                found.add(mirrored.tobytes())
                if height == width:
                    found.add(np.ascontiguousarray(mirrored.T).tobytes())
    return found


@pytest.mark.long
@pytest.mark.parametrize("shape", [(5, 5), (4, 7)])
@pytest.mark.parametrize("levels", [255, 65535])
def test_random_crops_are_crops(shape, levels):
    random = np.random.RandomState(1)
    integers = [random.randint(0, levels + 1, size) for size in ((9, 8), (5, 12))]
    images = [(values / np.float64(levels)).astype(np.float32) for values in integers]
    crops = RandomCrops.of([*images, np.zeros((3, 3), np.float32)], shape)
    assert crops.pixels.dtype == (np.uint8 if levels == 255 else np.uint16)
    drawn = np.asarray(jax.jit(lambda crops, key: crops(key, 4000))(crops, jax.random.key(0)))
    possible = [windows(values.astype(np.uint16), *shape) for values in integers]
    rows = [row.tobytes() for row in np.round(drawn * levels).astype(np.uint16)]
    assert set(rows) == possible[0] | possible[1]  # every place in every orientation, and nothing else
    places = [(i.shape[0] - shape[0] + 1) * (i.shape[1] - shape[1] + 1) for i in images]
    share = np.mean([row in possible[0] for row in rows])
    assert share == pytest.approx(places[0] / sum(places), abs=0.04)
    np.testing.assert_array_equal(crops(jax.random.key(3), 5), crops(jax.random.key(3), 5))


def test_random_crops_of_a_subset(tmp_path):
    images = ImageFolder(written(tmp_path, 4, (12, 12)))
    assert images.random_crops("train", 12)(jax.random.key(0), 3).shape == (3, 144)
    with pytest.raises(ValueError, match="expected an image of at least 50 x 50 pixels"):
        RandomCrops.of([np.zeros((9, 9), np.float32)], (50, 50))


def test_arguments_are_photographs(tmp_path):
    images = ImageFolder(written(tmp_path, 4), seed=3)
    assert Photographs.of(images) is images
    assert Photographs.of(tmp_path) == ImageFolder(tmp_path)
    assert Photographs.from_spec(images.argument()) == images
    assert ImageFolder(tmp_path).argument() == str(tmp_path)
    with pytest.raises(TypeError, match="images: expected a path"):
        Photographs.of(3)
