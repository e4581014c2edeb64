"""Compressed sensing of brain waves: matplotlib's EEG recording."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from unrollbit.operators import LinearOperator
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples, Samples, measurement
from unrollbit.problems.transforms import (
    Described,
    Transform,
    checked_transform,
    coefficients,
    measured_through,
    synthesis,
)

WINDOW = 128
CHANNELS = 4
# Stretches of time [first, end) of the 800 instants, 8 unused instants apart, and the step from window to window.
STRETCHES: dict[Subset, tuple[int, int]] = {"train": (0, 448), "validation": (456, 616), "test": (624, 800)}
STRIDES: dict[Subset, int] = {"train": 1, "validation": 4, "test": 4}


def load_eeg() -> Float[np.ndarray, "800 4"]:
    """The recording ``eeg.dat`` of matplotlib's sample data: 800 instants of 4 channels, float64.

    The file is a bare sequence of little-endian float64 numbers, instant by instant. Raises ``ValueError`` if not.
    """
    from matplotlib.cbook import get_sample_data

    content = Path(str(get_sample_data("eeg.dat", asfileobj=False))).read_bytes()
    recording = np.frombuffer(content, "<f8") if len(content) % 8 == 0 else np.empty(0)
    if recording.size != 800 * CHANNELS or not np.isfinite(recording).all():
        raise ValueError(f"matplotlib's eeg.dat: expected 800 x 4 float64 numbers, got {len(content)} bytes")
    return recording.reshape(800, CHANNELS)


def eeg_windows(subset: Subset) -> Float[np.ndarray, "count 128"]:
    """Standardised windows of a subset, channel by channel, each channel's in the order of time; float32.

    Each channel has the mean subtracted and is divided by the standard deviation of its training stretch.
    """
    recording = load_eeg()
    training = recording[slice(*STRETCHES["train"])]
    standard = (recording - training.mean(0)) / training.std(0)
    stretch = standard[slice(*STRETCHES[subset])]
    windows = np.lib.stride_tricks.sliding_window_view(stretch, WINDOW, axis=0)[:: STRIDES[subset]]
    return windows.swapaxes(0, 1).reshape(-1, WINDOW).astype(np.float32)


@register_problem("operator", "samples")
@dataclass(frozen=True, init=False)
class EEGCompressiveRecovery(Described, DrawsFromSamples, Problem):
    """``y = Phi Psi x + noise``: EEG windows ``Psi x`` of 128 instants, measured with a random ``Phi``.

    ``Psi`` is an orthonormal synthesis, ``x`` the coefficients (the samples with ``transform=None``). The subsets are
    separate stretches of time of all 4 channels: instants 0-447 for training, 456-615 for validation, 624-799 for
    test, so none share a sample. Training has all 1,284 windows, validation and test every fourth (36 and 52).

    Example:
        >>> import jax
        >>> problem = EEGCompressiveRecovery(ratio=0.25)
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, problem.signal(x).shape
        ((5, 128), (5, 32), (5, 128))
    """

    operator: LinearOperator
    samples: Samples
    ratio: float
    transform: Transform
    wavelet: str
    matrix: str
    noise: Noise | None
    seed: int
    subset: Subset = "train"

    def __init__(
        self,
        ratio: float = 0.5,
        transform: Transform | None = "wavelet",
        matrix: Literal["rademacher", "gaussian", "hadamard"] = "rademacher",
        wavelet: str = "db4",
        snr_db: float | None = None,
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Load the recording and draw the measurement from ``seed``.

        Args:
            ratio: measurements per instant, m / n; n = 128.
            transform: orthonormal transform in which windows are sparse: "dct" or "wavelet" (4 levels);
                None: the unknowns are the standardised voltages.
            matrix: "rademacher" (+-1), "gaussian" or "hadamard"; columns of unit norm.
            wavelet: "db1" (Haar) to "db8"; not used by "dct".
            snr_db: signal-to-noise ratio of each measurement in dB; None for no noise.
            seed: seed of the measurement.
            noise: ``Gaussian`` of a stated SNR or standard deviation; ``snr_db`` is short for the first.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        phi = measurement(matrix, ratio, WINDOW, checked_seed(seed))
        transform = checked_transform(transform)
        psi = synthesis(transform, (WINDOW,), wavelet)
        samples = coefficients(psi, [eeg_windows(subset) for subset in SUBSETS])
        noise = noise_of(noise, snr_db)
        self._set(measured_through(phi, psi), samples, ratio, transform, wavelet, matrix, noise, int(seed))

    @property
    def grid(self) -> tuple[int]:
        return (WINDOW,)

    def to_spec(self) -> dict[str, Any]:
        fields = ("ratio", "transform", "matrix", "wavelet", "seed")
        spec = {"kind": "EEGCompressiveRecovery", **{name: getattr(self, name) for name in fields}}
        return spec | noise_arguments(self.noise)
