"""Data of the cases with signals: written as a user would have it, in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WINDOW = 128
_PULSES = 2000

_DETECTORS = '''"""What the detectors see: an operator of PyLops."""

from pathlib import Path

import numpy as np
import pylops

places = np.load(Path(__file__).with_name("places.npy"))
A = pylops.Restriction({n}, places) @ pylops.Smoothing1D(nsmooth=9, dims={n})
'''


def deconvolution(folder: Path, random: np.random.RandomState) -> None:
    """``kernel.npy`` (24 taps of a damped oscillation, measured with noise) and ``signals.npy`` (pulses)."""
    t = np.arange(24)
    kernel = np.exp(-t / 6) * np.cos(2 * np.pi * t / 9 + 0.3) + 0.01 * random.standard_normal(24)
    np.save(folder / "kernel.npy", (kernel / np.linalg.norm(kernel)).astype(np.float32))
    shape = _PULSES, WINDOW
    pulses = random.exponential(size=shape) * (random.uniform(size=shape) < 0.06)
    np.save(folder / "signals.npy", pulses.astype(np.float32))


def measured_matrix(folder: Path, random: np.random.RandomState) -> None:
    """``matrix.npy`` (64 x 128 patterns with the errors of a calibration) and ``signals.npy`` (sparse)."""
    patterns = random.choice([-1.0, 1.0], (64, WINDOW)) / 8
    np.save(folder / "matrix.npy", (patterns * (1 + 0.05 * random.standard_normal(patterns.shape))).astype(np.float32))
    shape = _PULSES, WINDOW
    sparse = random.standard_normal(shape) * (random.uniform(size=shape) < 0.08)
    np.save(folder / "signals.npy", sparse.astype(np.float32))


def detectors(folder: Path, random: np.random.RandomState) -> None:
    """``detectors.py`` (the operator), ``places.npy`` (of detectors that work), and windows of an EEG, of three
    stretches of time.
    """
    from unrollbit.problems.base import SUBSETS
    from unrollbit.problems.eeg import eeg_windows

    np.save(folder / "places.npy", np.sort(random.choice(np.arange(1, WINDOW, 2), 48, replace=False)))
    (folder / "detectors.py").write_text(_DETECTORS.format(n=WINDOW), encoding="utf-8")
    for subset in SUBSETS:
        np.save(folder / f"{subset}.npy", eeg_windows(subset))


def electrocardiogram(folder: Path, random: np.random.RandomState) -> None:
    """Windows of ``pywt.data.ecg``, of three stretches of time, standardised as the first; a random turn of time.

    Raises ``ModuleNotFoundError`` where PyWavelets is not installed.
    """
    import pywt

    recording = np.asarray(pywt.data.ecg(), np.float64)
    training = recording[:640]
    recording = (recording - training.mean()) / training.std()
    shift = int(random.randint(4))
    for subset, first, last, step in (("train", 0, 640, 1), ("validation", 640, 832, 4), ("test", 832, 1024, 4)):
        windows = np.lib.stride_tricks.sliding_window_view(recording[first:last], WINDOW)[shift::step]
        np.save(folder / f"{subset}.npy", windows.astype(np.float32))
