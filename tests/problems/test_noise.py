"""Noise of a stated level is measured; problems take it as a value."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.problems import (
    BlockSparseRecovery,
    Deblurring,
    EEGCompressiveRecovery,
    Gaussian,
    MagneticResonance,
    Noise,
    OneBitCompressiveSensing,
    Poisson,
    Problem,
    SparseDeconvolution,
    SparseRecovery,
)

KEY = jax.random.key(0)
CLEAN = jnp.asarray(np.random.RandomState(0).uniform(0.2, 2, (200, 500)), jnp.float32)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_gaussian_noise_has_the_stated_level(unit):
    y = unit * CLEAN
    error = np.asarray(Gaussian(snr_db=30)(KEY, y) - y, np.float64)
    snr = 10 * np.log10((np.asarray(y, np.float64) ** 2).sum(1) / (error**2).sum(1))
    np.testing.assert_allclose(snr, 30, atol=1)
    assert snr.mean() == pytest.approx(30, abs=0.1)
    error = np.asarray(Gaussian(sigma=0.1 * unit)(KEY, y) - y, np.float64)
    assert error.std() == pytest.approx(0.1 * unit, rel=0.01)
    assert abs(error.mean()) < 0.002 * unit


@pytest.mark.long
@pytest.mark.parametrize("constant", [0.0, 0.5])
def test_poisson_noise_is_of_counts(constant):
    y = jnp.full((400, 500), 0.7)
    drawn = np.asarray(Poisson(photons=50)(KEY, y, constant), np.float64) + constant
    np.testing.assert_allclose(drawn * 50, np.round(drawn * 50), atol=1e-4)
    assert drawn.mean() == pytest.approx(0.7 + constant, rel=0.005)
    assert drawn.var() == pytest.approx((0.7 + constant) / 50, rel=0.02)
    assert not Poisson(photons=50)(KEY, -y).any()


@pytest.mark.parametrize("noise", [Gaussian(snr_db=20), Gaussian(sigma=0.1), Poisson(photons=30)])
def test_noise_survives_json(noise):
    assert Noise.from_spec(json.loads(json.dumps(noise.to_spec()))) == noise


PROBLEMS = {
    "sparse": lambda **o: SparseRecovery(16, 32, **o),
    "blocks": lambda **o: BlockSparseRecovery(2, 8, 16, **o),
    "spikes": lambda **o: SparseDeconvolution(n=64, **o),
    "signs": lambda **o: OneBitCompressiveSensing(64, 32, **o),
    "eeg": EEGCompressiveRecovery,
    "images": lambda **o: Deblurring(size=16, **o),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_problem_takes_noise(kind):
    make = PROBLEMS[kind]
    noisy = make(noise=Gaussian(sigma=0.25))
    spec = json.loads(json.dumps(noisy.to_spec()))
    assert spec["noise"] == {"kind": "Gaussian", "sigma": 0.25}
    assert Problem.from_spec(spec) == noisy
    assert make(snr_db=20.0) == make(noise=Gaussian(snr_db=20))
    assert make(snr_db=20.0).snr_db == 20
    x, y = noisy.sample(KEY, 64)
    if kind != "signs":
        error = np.asarray(y - noisy.operator(x))
        assert error.std() == pytest.approx(0.25, rel=5 / np.sqrt(2 * error.size))
    with pytest.raises(ValueError, match="snr_db: expected one of the two noises"):
        make(snr_db=20.0, noise=Gaussian(sigma=0.1))
    with pytest.raises(TypeError, match="noise: expected a Noise, such as Gaussian"):
        make(noise=0.1)


def test_short_forms_are_written_short():
    assert Deblurring(size=16, photons=100.0) == Deblurring(size=16, noise=Poisson(100))
    assert Deblurring(size=16, noise=Poisson(100)).to_spec()["photons"] == 100
    assert "noise" not in Deblurring(size=16, noise=Gaussian(snr_db=3)).to_spec()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gaussian(), "Gaussian: expected snr_db .* or sigma"),
        (lambda: Gaussian(snr_db=20.0, sigma=0.1), "one of the two"),
        (lambda: Gaussian(sigma=-1.0), "sigma: expected a standard deviation >= 0"),
        (lambda: Poisson(0.0), "photons: expected a number from 1 to 1e7"),
        (lambda: MagneticResonance(size=16, noise=Poisson(10)), "MagneticResonance measures differences"),
        (lambda: Noise.from_spec({"kind": "Pink"}), "unknown kind of Noise 'Pink'"),
    ],
)
def test_wrong_noise_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
