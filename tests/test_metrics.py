"""Metrics on hand-worked values and against scikit-image."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unrollbit.metrics import failures, nmse_db, psnr_db, ssim, support_recovery_rate

# energies 1, 4 and 100; errors 0.01, 0.04 and 100: -20, -20 and 0 dB
X = jnp.asarray([[1.0, 0.0], [0.0, 2.0], [6.0, 8.0]])
X_HAT = jnp.asarray([[0.9, 0.0], [0.0, 2.2], [0.0, 0.0]])


def test_nmse_by_hand():
    assert float(nmse_db(X_HAT, X)) == pytest.approx(10 * np.log10(100.05 / 105), abs=1e-5)
    assert float(nmse_db(X_HAT, X, reduction="mean_of_db")) == pytest.approx(-40 / 3, abs=1e-4)
    assert float(nmse_db(X_HAT[0], X[0])) == pytest.approx(-20, abs=1e-4)
    both = [float(nmse_db(X_HAT[0], X[0], reduction=r)) for r in ("ratio", "mean_of_db")]
    assert both[0] == pytest.approx(both[1])


def test_nmse_sees_all_batch_axes_alike():
    stacked = [a[None].repeat(4, 0) for a in (X_HAT, X)]
    for reduction in ("ratio", "mean_of_db"):
        expected = float(nmse_db(X_HAT, X, reduction=reduction))
        assert float(nmse_db(*stacked, reduction=reduction)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("reduction", ["ratio", "mean_of_db"])
def test_exact_recovery_is_the_floor(reduction):
    assert float(nmse_db(X, X, reduction=reduction)) == pytest.approx(-140)
    assert float(nmse_db(X, X, reduction=reduction, floor=1e-10)) == pytest.approx(-100)


def test_the_floor_is_per_signal():
    x_hat = X.at[2].set(0.0)  # -140, -140 and 0 dB
    assert float(nmse_db(x_hat, X, reduction="mean_of_db")) == pytest.approx(-280 / 3, rel=1e-6)


def test_zero_signals():
    x = X.at[1].set(0.0)
    # the zero signal has no relative error: (-20 + 0) / 2; its squared error 2.2^2 counts in the ratio
    assert float(nmse_db(X_HAT, x, reduction="mean_of_db")) == pytest.approx(-10, abs=1e-4)
    assert float(nmse_db(X_HAT, x)) == pytest.approx(10 * np.log10(104.85 / 101), abs=1e-5)
    for reduction in ("ratio", "mean_of_db"):
        assert float(nmse_db(0 * X, 0 * X, reduction=reduction)) == pytest.approx(-140)
        assert float(nmse_db(X, 0 * X, reduction=reduction)) == 0.0


@pytest.mark.parametrize("reduction", ["ratio", "mean_of_db"])
def test_nmse_has_finite_gradients(reduction):
    for x_hat, x in ((X, X), (0 * X, 0 * X), (X_HAT, X.at[1].set(0.0))):
        gradient = jax.grad(lambda v, x=x: nmse_db(v, x, reduction=reduction))(x_hat)
        assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("count", [3, 7, 1900, 10_000])
def test_no_failure_is_exactly_none(count):
    x = jnp.ones((count, 2))
    assert float(failures(x, x)) == 0.0
    assert float(failures(x.at[0].set(jnp.nan), x)) == pytest.approx(1 / count)


def test_failures_by_hand():
    better = (X_HAT + X) / 2  # errors of -26, -26 and -6 dB
    assert float(failures(better, X)) == pytest.approx(1 / 3)
    assert float(failures(better, X, threshold_db=-27.0)) == 1.0
    assert float(failures(X_HAT, X, threshold_db=1.0)) == 0.0
    x = X.at[:2].set(0.0)
    assert float(failures(x.at[0, 0].set(1e-3), x)) == pytest.approx(1 / 3)
    assert float(failures(X.at[0].set(jnp.nan), X)) == pytest.approx(1 / 3)


def test_half_precision_sums_in_single():
    x = jnp.full((1, 4096), 100.0, jnp.float16)  # the energy 4.1e7 is beyond float16
    assert float(nmse_db(0.5 * x, x)) == pytest.approx(10 * np.log10(0.25), rel=1e-5)


def test_psnr_by_hand_and_against_scikit_image():
    x = jnp.zeros((2, 100))
    x_hat = x.at[0].set(0.1).at[1].set(0.01)
    assert float(psnr_db(x_hat, x)) == pytest.approx(30, rel=1e-6)
    assert float(psnr_db(255 * x_hat, 255 * x, peak=255.0)) == pytest.approx(30, rel=1e-6)
    assert float(psnr_db(x, x)) == pytest.approx(140)
    a, b = np.random.RandomState(0).uniform(size=(2, 400))
    expected = peak_signal_noise_ratio(a.reshape(20, 20), b.reshape(20, 20), data_range=1.0)
    assert float(psnr_db(jnp.asarray(b), jnp.asarray(a))) == pytest.approx(expected, rel=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(("shape", "peak"), [((32, 48), 1.0), ((11, 11), 1.0), ((40, 20), 255.0)])
def test_ssim_against_scikit_image(shape, peak):
    random = np.random.RandomState(1)
    ramp = np.add.outer(np.linspace(0, 0.6, shape[0]), np.linspace(0, 0.4, shape[1]))
    images = peak * np.stack([ramp, random.uniform(size=shape)])
    noisy = images + peak * 0.1 * random.standard_normal(images.shape)
    expected = np.mean(
        [
            structural_similarity(a, b, data_range=peak, gaussian_weights=True, use_sample_covariance=False, sigma=1.5)
            for a, b in zip(images, noisy, strict=True)
        ]
    )
    flat = [jnp.asarray(v.reshape(2, -1), jnp.float32) for v in (noisy, images)]
    assert float(ssim(*flat, shape, peak)) == pytest.approx(expected, abs=2e-5)
    with jax.enable_x64(True):
        double = float(ssim(jnp.asarray(noisy.reshape(2, -1)), jnp.asarray(images.reshape(2, -1)), shape, peak))
    assert double == pytest.approx(expected, abs=1e-10)


def test_ssim_of_equal_images_is_one():
    image = jnp.asarray(np.random.RandomState(2).uniform(size=(3, 2, 256)), jnp.float32)
    assert float(ssim(image, image, (16, 16))) == pytest.approx(1.0)


def test_support_recovery_by_hand():
    x = jnp.asarray([[1.0, 0.0, -2.0], [1.0, 0.0, 1e-4], [0.0, 0.0, 0.0]])
    assert float(support_recovery_rate(x, x)) == 1.0
    # a wrong value on the right entries; an entry below the level; a zero signal estimated as non-zero
    x_hat = jnp.asarray([[0.1, 1e-3, 5.0], [1.0, 0.0, 0.0], [0.0, 0.1, 0.0]])
    assert float(support_recovery_rate(x_hat, x)) == pytest.approx(2 / 3)
    assert float(support_recovery_rate(x_hat, x, tolerance=1e-5)) == 0.0
    assert float(support_recovery_rate(x_hat[0], x[0], tolerance=0.06)) == 0.0


METRICS = {
    "nmse_db": nmse_db,
    "failures": failures,
    "psnr_db": psnr_db,
    "ssim": partial(ssim, shape=(1, 2)),
    "support_recovery_rate": support_recovery_rate,
}


@pytest.mark.parametrize("name", METRICS)
def test_wrong_shapes_are_named(name):
    with pytest.raises(ValueError, match=rf"{name}: expected an estimate and a truth.*\(3, 2\) and \(3, 3\)"):
        METRICS[name](X, jnp.zeros((3, 3)))
    with pytest.raises(ValueError, match=f"{name}: expected an estimate and a truth"):
        METRICS[name](jnp.zeros((0, 2)), jnp.zeros((0, 2)))


def test_other_misuse_is_named():
    with pytest.raises(ValueError, match="reduction: expected one of 'ratio', 'mean_of_db', got 'mean'"):
        nmse_db(X, X, reduction="mean")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"expected 3 x 3 = 9 pixels on the last axis, got \(3, 2\)"):
        ssim(X, X, (3, 3))
    with pytest.raises(ValueError, match="does not fit into an image of 10 x 20"):
        ssim(jnp.zeros((1, 200)), jnp.zeros((1, 200)), (10, 20))


def test_all_are_jittable_scalars():
    images = jnp.ones((2, 256))
    for name, metric in METRICS.items():
        metric = partial(ssim, shape=(16, 16)) if name == "ssim" else metric
        value = jax.jit(metric)(images, images)
        assert value.shape == ()
        assert value.dtype == jnp.float32
