"""Computed tomography."""

from __future__ import annotations

import os
from dataclasses import dataclass

from unrollbit.operators import Radon, Scaled
from unrollbit.problems.base import positive_int
from unrollbit.problems.imaging import ImageRecovery, checked_size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples")
@dataclass(frozen=True, init=False)
class Tomography(ImageRecovery):
    """Parallel-beam projections from few directions, spread evenly over 180 degrees, divided by the image's size.

    Reference: A. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", 1988. See ``ImageRecovery``.

    Example:
        >>> Tomography(angles=6, size=16).operator.shape
        (96, 256)
    """

    def __init__(
        self,
        angles: int = 12,
        size: int = 32,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        snr_db: float | None = None,
        photons: float | None = None,
        seed: int = 0,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        """Cut the images; nothing about the physics is random.

        Args:
            angles: number of directions; each has ``size`` rays.
            size: height and width of an image in pixels.
            transform, wavelet, snr_db, photons, folder: see ``ImageRecovery``. Photons: of a ray through an image of
                ones, emission tomography's counts.
            seed: seed of the noise of ``all``.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_size(size, seed)
        phi = Scaled.of(Radon.of(size, positive_int("angles", angles)), 1.0 / size)
        self._make(phi, size, transform, wavelet, snr_db, photons, seed, folder, angles=angles)
