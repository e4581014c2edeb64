"""Images with missing pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from unrollbit.operators import Subsampling
from unrollbit.problems.base import fraction
from unrollbit.problems.images import sides
from unrollbit.problems.imaging import ImageProblem, checked_size
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class Inpainting(ImageProblem):
    """Images of which a random ``ratio`` of the pixels is known, the same for all images.

    Example:
        >>> Inpainting(ratio=0.5, size=16).operator.shape
        (128, 256)
    """

    def __init__(
        self,
        ratio: float = 0.5,
        size: Size = 32,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        snr_db: float | None = None,
        photons: float | None = None,
        seed: int = 0,
        images: Any = None,
        noise: Noise | None = None,
        crops: Crops | None = None,
    ) -> None:
        """Cut the images and draw the known pixels from ``seed``.

        Args:
            ratio: share of known pixels.
            size: height and width of an image in pixels, or the side of a square.
            transform, wavelet, snr_db, photons, images, noise, crops: see ``ImageProblem``.
            seed: seed of the known pixels.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_size(size, seed)
        known = round(fraction("ratio", ratio) * math.prod(sides(size)))
        phi = Subsampling.random(sides(size), max(1, known), seed)
        self._make(phi, size, transform, wavelet, snr_db, photons, seed, images, noise=noise, crops=crops, ratio=ratio)
