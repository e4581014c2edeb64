"""Images with missing pixels."""

from __future__ import annotations

import os
from dataclasses import dataclass

from unrollbit.operators import Subsampling
from unrollbit.problems.base import fraction
from unrollbit.problems.imaging import ImageRecovery, checked_size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples")
@dataclass(frozen=True, init=False)
class Inpainting(ImageRecovery):
    """Images of which a random ``ratio`` of the pixels is known, the same for all images.

    Example:
        >>> Inpainting(ratio=0.5, size=16).operator.shape
        (128, 256)
    """

    def __init__(
        self,
        ratio: float = 0.5,
        size: int = 32,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        snr_db: float | None = None,
        photons: float | None = None,
        seed: int = 0,
        folder: str | os.PathLike[str] | None = None,
    ) -> None:
        """Cut the images and draw the known pixels from ``seed``.

        Args:
            ratio: share of known pixels.
            size: height and width of an image in pixels.
            transform, wavelet, snr_db, photons, folder: see ``ImageRecovery``.
            seed: seed of the known pixels.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_size(size, seed)
        phi = Subsampling.random((size, size), max(1, round(fraction("ratio", ratio) * size * size)), seed)
        self._make(phi, size, transform, wavelet, snr_db, photons, seed, folder, ratio=ratio)
