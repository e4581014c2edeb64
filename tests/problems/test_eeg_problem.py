from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.problems import EEGCompressiveRecovery
from unrollbit.problems import eeg as module
from unrollbit.problems.eeg import STRETCHES, STRIDES, eeg_windows, load_eeg
from unrollbit.problems.transforms import transformed

TRANSFORMS = ["dct", "wavelet"]


def test_recording():
    recording = load_eeg()
    assert recording.shape == (800, 4)
    assert recording.dtype == np.float64
    np.testing.assert_allclose(recording.std(0), 1, rtol=5e-3)  # as published: it is float64, and in this order
    neighbours = [np.corrcoef(c[:-1], c[1:])[0, 1] for c in recording.T]
    assert min(neighbours) > 0.8


def test_stretches_are_separate_in_time_and_in_values():
    spans = sorted(STRETCHES.values())
    assert spans[0][0] == 0
    assert spans[-1][1] == 800
    assert all(later[0] - earlier[1] >= 8 for earlier, later in pairwise(spans))
    values = {subset: np.unique(eeg_windows(subset)) for subset in STRETCHES}
    recording = load_eeg()
    assert len(np.unique(recording)) == recording.size  # so that equal values would mean equal instants
    assert not np.intersect1d(values["train"], values["test"]).size
    assert not np.intersect1d(values["train"], values["validation"]).size
    assert not np.intersect1d(values["validation"], values["test"]).size


def test_windows_are_the_stretches_standardised_by_training_alone():
    recording = load_eeg()
    training = recording[:448]
    for subset, (first, end) in STRETCHES.items():
        windows = eeg_windows(subset)
        count = (end - first - 128) // STRIDES[subset] + 1
        assert windows.shape == (4 * count, 128)
        for channel, position in ((0, 0), (2, 1), (3, count - 1)):
            start = first + STRIDES[subset] * position
            expected = (recording[start : start + 128, channel] - training[:, channel].mean()) / training[
                :, channel
            ].std()
            np.testing.assert_allclose(windows[channel * count + position], expected, atol=1e-6)


def test_standardisation_does_not_see_the_test_stretch(monkeypatch):
    before = eeg_windows("train")
    changed = load_eeg().copy()
    changed[448:] *= 100
    monkeypatch.setattr(module, "load_eeg", lambda: changed)
    np.testing.assert_array_equal(eeg_windows("train"), before)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transform_is_orthonormal_and_gives_back_the_windows(transform):
    problem = EEGCompressiveRecovery(transform=transform).split("test")
    x, _ = problem.all()
    windows = eeg_windows("test")
    np.testing.assert_allclose(problem.signal(x), windows, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), np.linalg.norm(windows, axis=1), rtol=1e-5)
    psi = np.asarray(transformed(problem.operator.inner, jnp.eye(128)), np.float64).T
    np.testing.assert_allclose(psi.T @ psi, np.eye(128), atol=1e-5)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_windows_are_compressible(transform):
    x = np.asarray(EEGCompressiveRecovery(transform=transform).all()[0])
    energy = np.sort(x**2, axis=1)[:, ::-1]
    assert energy[:, 32:].sum() < 0.06 * energy.sum()


@pytest.mark.long
@pytest.mark.parametrize("matrix", ["rademacher", "gaussian", "hadamard"])
@pytest.mark.parametrize("ratio", [0.5, 0.25])
def test_physics(matrix, ratio):
    problem = EEGCompressiveRecovery(ratio=ratio, matrix=matrix)
    assert problem.operator.shape == (int(ratio * 128), 128)
    assert problem.operator.physics_bits() == 0
    x, y = problem.split("test").all()
    np.testing.assert_allclose(y, transformed(problem.operator.outer, problem.signal(x)), atol=1e-5)


def test_wrong_arguments_and_files_are_named(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="transform: expected one of 'dct', 'wavelet', 'none', got 'fourier'"):
        EEGCompressiveRecovery(transform="fourier")
    with pytest.raises(ValueError, match="wavelet: expected one of db1"):
        EEGCompressiveRecovery(transform="wavelet", wavelet="sym4")
    with pytest.raises(ValueError, match=r"ratio: 0.001 of 128 samples leaves no measurement"):
        EEGCompressiveRecovery(ratio=0.001)
    (tmp_path / "eeg.dat").write_bytes(b"1234567")
    monkeypatch.setattr("matplotlib.cbook.get_sample_data", lambda name, asfileobj: str(tmp_path / name))
    with pytest.raises(ValueError, match=r"eeg.dat: expected 800 x 4 float64 numbers, got 7 bytes"):
        load_eeg()
