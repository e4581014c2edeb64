"""Unknowns that are samples on a grid: pixels and instants instead of coefficients."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import Stage, Unrolled, fit, load, pack, recipes, solve
from unrollbit.algorithms import FISTA
from unrollbit.formats import Anchored, OneBit
from unrollbit.problems import (
    Deblurring,
    EEGCompressiveRecovery,
    EEGDenoising,
    Inpainting,
    Problem,
    SparseRecovery,
    Tomography,
)
from unrollbit.problems.prior import matched_prior

SAMPLES = {
    "blurred": (lambda **o: Deblurring(size=16, **o), (16, 16)),
    "missing": (lambda **o: Inpainting(size=16, **o), (16, 16)),
    "eeg": (EEGCompressiveRecovery, (128,)),
    "artefacts": (EEGDenoising, (128,)),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", SAMPLES)
def test_without_a_transform_unknowns_are_the_signal(kind):
    make, grid = SAMPLES[kind]
    plain, described = make(transform=None).split("test"), make(transform="dct").split("test")
    assert plain.signal_shape == grid
    assert described.signal_shape is None
    x, y = plain.all()
    coefficients, again = described.all()
    np.testing.assert_allclose(plain.signal(x), described.signal(coefficients), atol=1e-5)
    np.testing.assert_allclose(y, again, atol=1e-5 * float(jnp.abs(y).max()))
    offset = float((plain.signal(x) - x).mean())
    np.testing.assert_allclose(plain.signal(x) - x, offset, atol=1e-6)
    assert offset == pytest.approx(0.5 if len(grid) == 2 else 0.0, abs=1e-6)
    assert plain.to_spec() == {**described.to_spec(), "transform": "none"}
    assert Problem.from_spec(plain.to_spec()) == make(transform=None) == make(transform="none")


def test_the_physics_of_pixels_is_the_measurement_alone():
    problem = Tomography(angles=5, size=16, transform=None)
    assert problem.operator == problem.measurement == Tomography(angles=5, size=16).operator.outer
    assert SparseRecovery(8, 16).signal_shape is None


@pytest.mark.long
def test_a_network_on_pixels_is_trained_packed_and_measured(tmp_path):
    problem = Deblurring(size=16, transform=None, snr_db=30.0)
    net = Unrolled(FISTA(), problem, 3, Anchored(OneBit()), distinct=1)
    report = fit(net, problem, Stage(5, batch=4), progress=False)
    assert report.nmse_db < 0
    pack(net, problem=problem).save(tmp_path / "network.safetensors")
    x, y = problem.split("test").sample(jax.random.key(0), 4)
    packed = load(tmp_path / "network.safetensors")
    np.testing.assert_allclose(packed(y), net(y), atol=1e-4)
    estimate = solve(FISTA(), problem, y, 30).x
    figures = problem.metrics(estimate, x)
    errors = np.mean((np.asarray(estimate) - np.asarray(x)) ** 2, axis=1)  # pixels minus 1/2, their range is 1
    assert figures["psnr_db"] == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3)
    assert 0 < figures["ssim"] <= 1
    assert Problem.from_spec(packed.problem) == problem


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
def test_the_matched_prior_has_the_moments_of_its_signals(unit):
    random = np.random.RandomState(0)
    sparse = unit * random.standard_normal((400, 50)) * (random.uniform(size=(400, 50)) < 0.1)
    prior = matched_prior(sparse)
    assert prior.sparsity == pytest.approx(0.1, rel=0.1)
    assert prior.variance == pytest.approx(unit**2, rel=0.1)
    dense = matched_prior(unit * random.standard_normal((400, 50)))
    assert dense.sparsity == 0.9
    assert dense.variance * dense.sparsity == pytest.approx(unit**2, rel=0.05)


def test_the_prior_of_no_signal_is_a_prior():
    assert matched_prior(np.zeros((3, 4))).variance == 1.0


def test_the_default_recipe_takes_signals_of_one_axis():
    """Filters of 1-D signals are fewer and longer than those of images."""
    problem = EEGCompressiveRecovery(transform=None)
    network = recipes.default(problem, 2).network
    _, y = problem.sample(jax.random.key(0), 3)
    assert jax.eval_shape(lambda net, y: net(y), network, y).shape == (3, 128)
    assert network.algorithm.to_spec()["size"] == 13
