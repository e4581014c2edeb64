"""Epochs of EEG and of artefacts: EEGdenoiseNet where the user has it, else the shipped recording and a model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import choice, path
from unrollbit.problems.base import SUBSETS, Subset
from unrollbit.problems.eeg import WINDOW, eeg_windows

Artefact = Literal["ocular", "muscle"]
_FILES = {"clean": "EEG_all_epochs.npy", "ocular": "EOG_all_epochs.npy", "muscle": "EMG_all_epochs.npy"}
_SAMPLES = 512  # of an epoch of EEGdenoiseNet: 2 s at 256 Hz
_SHARES = (0.8, 0.1, 0.1)
_MODELLED = {"train": 2000, "validation": 400, "test": 400}


class Epochs(NamedTuple):
    """Clean and artefact epochs of a subset, each of mean 0 and root mean square 1, float32."""

    clean: Float[np.ndarray, "count n"]
    artefact: Float[np.ndarray, "others n"]


def load_epochs(
    artefact: Artefact, folder: str | os.PathLike[str] | None, seed: int
) -> tuple[dict[Subset, Epochs], int]:
    """The epochs of every subset, and the samples of an epoch.

    With a ``folder``: EEGdenoiseNet (Zhang et al., J. Neural Eng. 2021), whose three ``.npy`` files have one epoch of
    512 samples a row; rows are shuffled by the seed and split 80 / 10 / 10 %. Without: windows of the EEG that
    matplotlib ships (``unrollbit.problems.eeg``), and artefacts from a model (``ocular_model``, ``muscle_model``).

    Raises ``ValueError`` for an unknown artefact, and for a folder without the files, with the place to get them.
    """
    choice("artefact", artefact, get_args(Artefact))
    folder = None if folder is None else path("folder", folder)
    if folder is None:
        model = ocular_model if artefact == "ocular" else muscle_model
        found = {}
        for index, subset in enumerate(SUBSETS):
            random = np.random.RandomState([seed, index])
            found[subset] = Epochs(
                standardised(eeg_windows(subset)), standardised(model(random, _MODELLED[subset], WINDOW))
            )
        return found, WINDOW
    clean, other = (_rows(Path(folder), name) for name in ("clean", artefact))
    parts = {}
    for index, subset in enumerate(SUBSETS):
        parts[subset] = Epochs(*(_share(rows, index, seed) for rows in (clean, other)))
    return parts, _SAMPLES


def ocular_model(random: np.random.RandomState, count: int, n: int) -> Float[np.ndarray, "count n"]:
    """Blinks and slow eye movements over one second of ``n`` samples: one to three smooth bumps of either sign and
    0.15 to 0.4 s, on a drift.
    """
    t = np.arange(n) / n
    signals = np.empty((count, n))
    for row in signals:
        drift = random.standard_normal() * np.cos(np.pi * t) + 0.5 * random.standard_normal() * np.cos(2 * np.pi * t)
        row[:] = 0.5 * drift
        for _ in range(random.randint(1, 4)):
            width = random.uniform(0.15, 0.4) / 4
            row += random.choice([-1, 1]) * random.uniform(1, 3) * np.exp(-0.5 * ((t - random.uniform()) / width) ** 2)
    return signals


def muscle_model(random: np.random.RandomState, count: int, n: int) -> Float[np.ndarray, "count n"]:
    """Bursts of muscle activity over one second: white noise above 20 Hz under a smooth envelope."""
    spectrum = np.fft.rfft(random.standard_normal((count, n)))
    spectrum *= np.fft.rfftfreq(n, 1 / n) >= 20
    centre, width = random.uniform(0, 1, (count, 1)), random.uniform(0.1, 0.5, (count, 1))
    envelope = 0.2 + np.exp(-0.5 * ((np.arange(n) / n - centre) / width) ** 2)
    return np.fft.irfft(spectrum, n) * envelope


def standardised(rows: Float[np.ndarray, "count n"]) -> Float[np.ndarray, "kept n"]:
    """Rows of mean 0 and root mean square 1, float32; constant rows are left out."""
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(1, keepdims=True)
    size = np.sqrt(np.mean(rows**2, 1, keepdims=True))
    return (rows / np.maximum(size, 1e-300))[size[:, 0] > 0].astype(np.float32)


def _rows(folder: Path, name: str) -> np.ndarray:
    file = folder / _FILES[name]
    advice = (
        f"expected EEGdenoiseNet's {', '.join(_FILES.values())} (github.com/ncclabsustech/EEGdenoiseNet, folder data); "
        "leave folder out for the recording that comes with matplotlib"
    )
    if not file.is_file():
        raise ValueError(f"folder: {file} is missing; {advice}")
    try:
        rows = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(f"folder: {file} is not a .npy file of numbers ({error}); {advice}") from error
    wrong = not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != _SAMPLES or len(rows) < 10
    if wrong or not np.issubdtype(rows.dtype, np.floating) or not np.isfinite(rows).all():
        shape = getattr(rows, "shape", None)
        raise ValueError(
            f"folder: {file}: expected 10 or more finite rows of {_SAMPLES} samples, got {shape}; {advice}"
        )
    return standardised(rows)


def _share(rows: np.ndarray, index: int, seed: int) -> np.ndarray:
    order = np.random.RandomState(seed).permutation(len(rows))
    ends = np.round(np.cumsum(_SHARES) * len(rows)).astype(int)
    return rows[order[0 if index == 0 else ends[index - 1] : ends[index]]]
