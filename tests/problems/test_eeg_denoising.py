"""EEG under artefacts, modelled or of EEGdenoiseNet's files."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from unrollbit.problems import EEGDenoising, Problem, SparseDeconvolution
from unrollbit.problems.artefacts import load_epochs, muscle_model, standardised
from unrollbit.problems.base import SUBSETS
from unrollbit.problems.deconvolution import pulse


@pytest.fixture(scope="module", params=["ocular", "muscle"])
def problem(request):
    return EEGDenoising(request.param, snr_db=-3.0)


def test_the_ratio_is_as_stated_for_every_epoch(problem):
    x, y = problem.split("test").sample(jax.random.key(0), 40)
    clean = np.asarray(problem.signal(x))
    artefact = np.asarray(y) - clean
    ratio = 20 * np.log10(np.sqrt((clean**2).mean(1)) / np.sqrt((artefact**2).mean(1)))
    np.testing.assert_allclose(ratio, -3, atol=1e-3)


def test_subsets_share_neither_epochs_nor_artefacts(problem):
    for held in (problem.samples, problem.artefacts):
        rows = [{row.tobytes() for row in np.asarray(part)} for part in held]
        assert not rows[0] & rows[1]
        assert not rows[0] & rows[2]
        assert not rows[1] & rows[2]


@pytest.mark.long
def test_all_and_samples_are_reproducible(problem):
    part = problem.split("validation")
    for first, second in ((part.all(), part.all()), (part.sample(jax.random.key(1), 5),) * 2):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)
    rebuilt = Problem.from_spec(problem.to_spec())
    np.testing.assert_array_equal(rebuilt.split("validation").all()[1], part.all()[1])
    assert part.all()[0].shape == part.all()[1].shape == (36, 128)


def test_muscle_activity_is_above_20_hertz():
    signals = muscle_model(np.random.RandomState(0), 50, 128)
    power = (np.abs(np.fft.rfft(signals)) ** 2).mean(0)
    assert power[:12].sum() < 0.02 * power.sum()  # the envelope smears the edge a little


def test_files_of_eegdenoisenet(tmp_path):
    random = np.random.RandomState(0)
    for name, count in (("EEG", 50), ("EOG", 30), ("EMG", 20)):
        np.save(tmp_path / f"{name}_all_epochs.npy", 7 + 3 * random.standard_normal((count, 512)))
    problem = EEGDenoising("muscle", folder=tmp_path)
    assert problem.operator.shape == (512, 512)
    assert [len(part) for part in problem.samples] == [40, 5, 5]
    assert [len(part) for part in problem.artefacts] == [16, 2, 2]
    np.testing.assert_allclose(np.mean(np.asarray(problem.signal(problem.samples[0])) ** 2, 1), 1, rtol=1e-4)
    epochs, samples = load_epochs("muscle", tmp_path, seed=0)
    assert samples == 512
    assert set(epochs) == set(SUBSETS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "EOG_all_epochs.npy is missing; expected EEGdenoiseNet's"),
        (b"nothing", "is not a .npy file of numbers"),
        (np.zeros((20, 500)), r"expected 10 or more finite rows of 512 samples, got \(20, 500\)"),
        (np.full((20, 512), np.nan), "expected 10 or more finite rows"),
        (np.zeros((20, 512), int), "expected 10 or more finite rows"),
    ],
)
def test_what_is_wrong_with_the_folder_is_said(content, message, tmp_path):
    np.save(tmp_path / "EEG_all_epochs.npy", np.random.RandomState(0).standard_normal((20, 512)))
    file = tmp_path / "EOG_all_epochs.npy"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        np.save(file, content)
    with pytest.raises(ValueError, match=message):
        EEGDenoising("ocular", folder=tmp_path)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="artefact: expected one of"):
        EEGDenoising("cardiac")
    with pytest.raises(ValueError, match="snr_db: expected a number of dB"):
        EEGDenoising(snr_db=None)
    with pytest.raises(ValueError, match="pulse: expected one of"):
        SparseDeconvolution(pulse="square")
    with pytest.raises(ValueError, match="width: expected a number of samples > 0"):
        SparseDeconvolution(width=-1.0)
    with pytest.raises(ValueError, match="n: expected at least the 17 samples of the pulse, got 8"):
        SparseDeconvolution(n=8)


def test_standardised_rows():
    rows = standardised(np.array([[1.0, 3.0], [2.0, 2.0], [0.0, 8.0]]))
    np.testing.assert_allclose(rows, [[-1, 1], [-1, 1]])


def test_pulses():
    assert np.linalg.norm(pulse("ricker", 2.0)) == pytest.approx(1, abs=1e-6)
    assert pulse("ricker", 2.0).sum() == pytest.approx(0, abs=0.01)  # no mean
    assert pulse("gaussian", 1.0)[4] / pulse("gaussian", 1.0)[5] == pytest.approx(np.exp(0.5), rel=1e-5)
