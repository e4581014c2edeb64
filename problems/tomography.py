"""Computed tomography."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unrollbit.operators import Radon, Scaled
from unrollbit.problems.base import positive_int
from unrollbit.problems.imaging import ImageProblem, checked_square
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class Tomography(ImageProblem):
    """Parallel-beam projections from few directions, spread evenly over 180 degrees, divided by the image's size.

    Reference: A. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", 1988. See ``ImageProblem``.

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
        images: Any = None,
        noise: Noise | None = None,
        crops: Crops | None = None,
    ) -> None:
        """Cut the images; nothing about the physics is random.

        Args:
            angles: number of directions; each has ``size`` rays.
            size: height and width of an image in pixels.
            transform, wavelet, snr_db, photons, images, noise, crops: see ``ImageProblem``. Photons: of a ray through
                an image of ones, emission tomography's counts.
            seed: seed of the noise of ``all``.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_square(size, seed)
        phi = Scaled.of(Radon.of(size, positive_int("angles", angles)), 1.0 / size)
        self._make(
            phi, size, transform, wavelet, snr_db, photons, seed, images, noise=noise, crops=crops, angles=angles
        )
