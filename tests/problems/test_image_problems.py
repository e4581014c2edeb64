"""Image problems: their physics on pixels, their noises, and the user's own photographs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import skimage.transform
from matplotlib.image import imsave

from unrollbit.problems import (
    Deblurring,
    Inpainting,
    MagneticResonance,
    Problem,
    SinglePixelCamera,
    SuperResolution,
    Tomography,
)
from unrollbit.problems.blur import blur_kernel
from unrollbit.problems.imaging import GREY, ImageProblem
from unrollbit.problems.magnetic_resonance import sampled_frequencies
from unrollbit.problems.photographs import SHIPPED, Photographs


def pairs(problem: ImageProblem, count: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """True images minus grey and their measurements."""
    x, y = problem.split("test").sample(jax.random.key(0), count)
    pixels = np.asarray(problem.signal(x), np.float64) - GREY
    return pixels.reshape(count, problem.size, problem.size), np.asarray(y)


@pytest.mark.long
@pytest.mark.parametrize(("kernel", "width"), [("gaussian", 1.2), ("motion", 5), ("box", 3.0)])
def test_blur_is_a_periodic_convolution(kernel, width):
    problem = Deblurring(kernel, width, size=16, transform="dct")
    images, y = pairs(problem)
    blurred = [scipy.ndimage.convolve(image, blur_kernel(kernel, width), mode="wrap") for image in images]
    np.testing.assert_allclose(y.reshape(3, 16, 16), blurred, atol=1e-5)
    assert blur_kernel(kernel, width).sum() == pytest.approx(1, abs=1e-6)


def test_kernels_by_hand():
    np.testing.assert_allclose(blur_kernel("motion", 2), np.eye(2) / 2)
    np.testing.assert_allclose(blur_kernel("box", 2), np.full((2, 2), 0.25))
    gaussian = blur_kernel("gaussian", 1.0)
    assert gaussian.shape == (7, 7)
    assert gaussian[3, 4] / gaussian[3, 3] == pytest.approx(np.exp(-0.5), rel=1e-5)


def test_low_resolution_is_the_mean_over_squares():
    images, y = pairs(SuperResolution(factor=4, size=16, transform="dct"))
    np.testing.assert_allclose(y.reshape(3, 4, 4), images.reshape(3, 4, 4, 4, 4).mean((2, 4)), atol=1e-5)


def test_known_pixels_are_pixels():
    problem = Inpainting(ratio=0.25, size=16, transform="dct", seed=3)
    images, y = pairs(problem)
    known = problem.operator.outer.indices
    assert len(known) == len(set(known.tolist())) == 64
    np.testing.assert_allclose(y, images.reshape(3, -1)[:, known], atol=1e-5)


@pytest.mark.filterwarnings("ignore:Radon transform")
def test_projections_are_those_of_scikit_image():
    images, y = pairs(Tomography(angles=5, size=16, transform="dct"))
    angles = np.arange(5) * 36.0
    wanted = [skimage.transform.radon(image, angles).T.ravel() / 16 for image in images]
    np.testing.assert_allclose(y, wanted, atol=1e-5)


@pytest.mark.parametrize("sampling", ["cartesian", "variable_density"])
def test_resonance_measures_the_frequencies_of_its_mask(sampling):
    problem = MagneticResonance(4, sampling, size=16, transform="dct")
    images, y = pairs(problem)
    kept = sampled_frequencies(16, 4, sampling, 0)
    spectrum = np.fft.fft2(images, norm="ortho").reshape(3, -1)[:, kept]
    np.testing.assert_allclose(y, np.concatenate([spectrum.real, spectrum.imag], 1), atol=1e-5)


@pytest.mark.parametrize("sampling", ["cartesian", "variable_density"])
def test_masks_are_reproducible_and_measure_no_pair_twice(sampling):
    kept = sampled_frequencies(32, 4, sampling, 5)
    np.testing.assert_array_equal(kept, sampled_frequencies(32, 4, sampling, 5))
    assert not np.array_equal(kept, sampled_frequencies(32, 4, sampling, 6))
    rows, columns = np.divmod(kept, 32)
    mirrored = (-rows % 32) * 32 + (-columns % 32)
    assert 0 in kept
    twice = np.isin(mirrored, kept) & (mirrored != kept)
    assert not twice.any()
    assert len(kept) == pytest.approx(32 * 32 / 8, rel=0.2)
    if sampling == "cartesian":
        lines = {int(row) for row in rows}
        for line in lines:
            assert (rows == line).sum() in (17, 32)  # the lines that mirror themselves have a half
    else:
        low = np.hypot(np.minimum(rows, 32 - rows), np.minimum(columns, 32 - columns)) < 8
        assert low.mean() > 0.35  # of all frequencies a fifth is as low


def test_sampling_is_the_same_everywhere():
    """Of a version-independent generator: these very frequencies."""
    np.testing.assert_array_equal(sampled_frequencies(4, 2, "cartesian", 0), [0, 1, 2, 8, 9, 10])


@pytest.mark.slow
def test_photons_give_poisson_noise():
    """Mean and variance of many draws; negative intensities count nothing."""
    problem = Deblurring(size=16, transform="dct", photons=50.0).split("test")
    x = problem.all()[0][:1]
    x = jnp.broadcast_to(x, (1500, 256))
    y = np.asarray(problem.measured(x, jax.random.key(1)), np.float64)
    clean = np.asarray(problem.operator(x[0])) + GREY
    counts = (y + GREY) * 50
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-3)
    np.testing.assert_allclose(y.mean(0) + GREY, clean, atol=5 * np.sqrt(clean.max() / 50 / 1500))
    np.testing.assert_allclose(y.var(0), clean / 50, rtol=0.25, atol=1e-4)
    dark = problem.measured(jnp.full((2, 256), -10.0), jax.random.key(0))
    assert np.isfinite(dark).all()


@pytest.mark.long
def test_specs_keep_the_arguments():
    problem = Deblurring("motion", 7, size=16, transform="dct", photons=1000, seed=4)
    spec = problem.to_spec()
    wanted = {"kind": "Deblurring", "kernel": "motion", "width": 7, "size": 16, "transform": "dct", "wavelet": "db4"}
    assert spec == wanted | {"photons": 1000.0, "seed": 4}
    rebuilt = Problem.from_spec(spec)
    np.testing.assert_array_equal(rebuilt.split("test").all()[1], problem.split("test").all()[1])
    assert (rebuilt.kernel, rebuilt.width) == ("motion", 7)
    with pytest.raises(AttributeError, match="Deblurring has no attribute 'factor'"):
        _ = problem.factor


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Deblurring("pinhole"), "kernel: expected one of"),
        (lambda: Deblurring("gaussian", 0.0), "width: expected a standard deviation > 0"),
        (lambda: Deblurring("box", 2.5), "width: expected a positive integer, got 2.5"),
        (lambda: Deblurring(size=0), "size: expected a positive integer"),
        (lambda: Deblurring(photons=0.5), "photons: expected a number from 1 to 1e7"),
        (lambda: Deblurring(photons=100.0, snr_db=30.0), "expected one of the two noises"),
        (lambda: SuperResolution(factor=3, size=32), "factor: expected a divisor of size = 32, got 3"),
        (lambda: SuperResolution(factor=True), "factor: expected a positive integer"),
        (lambda: Inpainting(ratio=0.0), "ratio: expected a fraction"),
        (lambda: Tomography(angles=0), "angles: expected a positive integer"),
        (lambda: MagneticResonance(acceleration=0.5), "acceleration: expected a number from 1 to size / 2"),
        (lambda: MagneticResonance(sampling="spiral"), "sampling: expected one of 'cartesian', 'variable_density'"),
        (lambda: Problem.from_spec({"kind": "ImageProblem"}), "unknown problem kind 'ImageProblem'"),
        (lambda: Problem.from_spec({"kind": "MagneticResonance", "photons": 5.0}), "photons"),
        (lambda: Photographs.of("nowhere"), "images: nowhere: no such folder"),
    ],
)
def test_wrong_arguments_say_what_was_expected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture
def berkeley(tmp_path):
    """A folder like BSD500's, with colour JPEGs."""
    random = np.random.RandomState(0)
    for inside, count in (("train", 3), ("val", 1), ("test", 2)):
        folder = tmp_path / "BSDS500" / "data" / "images" / inside
        folder.mkdir(parents=True)
        for index in range(count):
            smooth = scipy.ndimage.gaussian_filter(random.uniform(size=(33, 49, 3)), (2, 2, 0))
            imsave(folder / f"{inside}{index}.jpg", (smooth - smooth.min()) / np.ptp(smooth))
    return tmp_path


def test_the_folder_of_bsd500(berkeley):
    problem = SinglePixelCamera(size=16, transform="dct", images=berkeley)
    assert [len(part) for part in problem.samples] == [3 * 2 * 3, 2 * 3, 2 * 2 * 3]  # tiles: training draws at random
    overlapping = SinglePixelCamera(size=16, transform="dct", images=berkeley, crops="grid")
    assert len(overlapping.samples[0]) == 3 * 3 * 5
    part = problem.split("test")
    x, y = part.image("test1")
    assert (len(x), y.shape[1]) == (6, 64)
    rebuilt = part.assemble(x, "test1")
    assert rebuilt.shape == (32, 48)
    assert 0 <= rebuilt.min() < rebuilt.max() <= 1 + 1e-5
    assert Problem.from_spec(problem.to_spec()).samples[0].shape == problem.samples[0].shape
    inside = Photographs.of(berkeley / "BSDS500" / "data" / "images")
    assert inside.files == Photographs.of(berkeley).files
    assert inside.names("validation") == ("val0",)
    with pytest.raises(ValueError, match="no photograph 'lena'"):
        inside.read("lena")


def test_what_is_wrong_with_a_folder_is_said(berkeley, tmp_path):
    images = berkeley / "BSDS500" / "data" / "images"
    (images / "val" / "val0.jpg").unlink()
    with pytest.raises(ValueError, match=r"val has no images; expected .png, .jpg"):
        Photographs.of(berkeley)
    (images / "val" / "val0.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match="not a readable image"):
        Deblurring(size=16, transform="dct", images=berkeley)
    (images / "val" / "val0.jpg").unlink()
    (images / "val").rmdir()
    assert [len(Photographs.of(berkeley).names(subset)) for subset in SHIPPED] == [2, 1, 2]


def test_crops_of_large_images_overlap_more():
    """Whole images are few: training crops are at most 32 pixels apart."""
    train, test = (Photographs.of(None).crops(subset, 128) for subset in ("train", "test"))
    assert len(train) > 20 * len(test) > 300
    assert set(SHIPPED) == {"train", "validation", "test"}
