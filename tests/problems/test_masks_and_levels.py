"""Masks of frequencies from files, and noise whose level differs from signal to signal."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from unrollbit.operators import SubsampledFourier
from unrollbit.problems import GaussianRange, MagneticResonance, Problem
from unrollbit.problems.noise import Noise


@pytest.fixture
def mask() -> np.ndarray:
    kept = np.random.RandomState(0).uniform(size=(16, 16)) < 0.2
    kept |= np.roll(np.flip(kept), 1, (0, 1))
    kept[0, 0] = True
    return kept


def test_a_mask_says_what_is_measured(mask: np.ndarray, tmp_path) -> None:
    np.save(tmp_path / "mask.npy", mask)
    scipy.io.savemat(tmp_path / "mask.mat", {"mask_matrix": mask.astype(np.uint8)})
    problems = [MagneticResonance(mask=given, transform=None) for given in (mask, str(tmp_path / "mask.npy"))]
    problems.append(MagneticResonance(mask=str(tmp_path / "mask.mat"), transform=None))
    for problem in problems:
        assert problem.operator == SubsampledFourier.of_mask(mask)
        assert problem.signal_shape == (16, 16)
        x, y = problem.split("test").all()
        spectrum = np.fft.fft2(np.asarray(x[3]).reshape(16, 16), norm="ortho").ravel()[problem.operator.indices]
        np.testing.assert_allclose(y[3], np.concatenate([spectrum.real, spectrum.imag]), atol=1e-4)
    recipe = problems[2].recipe()
    assert recipe["mask"]["name"] == "mask.mat"
    assert Problem.from_spec(recipe, data=[tmp_path]) == problems[2]
    assert Problem.from_spec(recipe, operator=problems[2].operator).operator == problems[2].operator


def test_what_is_no_mask(mask: np.ndarray, tmp_path) -> None:
    scipy.io.savemat(tmp_path / "two.mat", {"a": mask, "b": mask})
    (tmp_path / "none.mat").write_bytes(b"no file of MATLAB at all, but long enough to look at" * 10)
    with pytest.raises(ValueError, match="one array, got 2"):
        MagneticResonance(mask=str(tmp_path / "two.mat"))
    with pytest.raises(ValueError, match="MATLAB"):
        MagneticResonance(mask=str(tmp_path / "none.mat"))
    with pytest.raises(ValueError, match="ifftshift"):
        MagneticResonance(mask=np.eye(16, k=1) > 0)


def test_levels_are_drawn_for_every_signal() -> None:
    noise = GaussianRange(0.1, 0.4)
    levels = np.std(np.asarray(noise(jax.random.key(0), jnp.zeros((400, 2000)))), axis=1)
    assert levels.min() > 0.09
    assert levels.max() < 0.42
    np.testing.assert_allclose(np.quantile(levels, (0.25, 0.5, 0.75)), (0.175, 0.25, 0.325), atol=0.02)
    assert Noise.from_spec(noise.to_spec()) == noise
    for low, high in ((-0.1, 0.2), (0.3, 0.2), ("a", 1.0)):
        with pytest.raises((ValueError, TypeError)):
            GaussianRange(low, high)
