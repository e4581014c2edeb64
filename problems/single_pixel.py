"""The single-pixel camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from unrollbit.problems.images import sides
from unrollbit.problems.imaging import ImageProblem, checked_size
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import measurement
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class SinglePixelCamera(ImageProblem):
    """Images measured through +-1 patterns: ``Phi`` is a sign-scrambled, subsampled Hadamard matrix.

    Reference: M. Duarte et al., "Single-pixel imaging via compressive sampling", 2008. See ``ImageProblem``.

    Example:
        >>> import jax
        >>> problem = SinglePixelCamera(size=16, transform="dct").split("test")
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, problem.signal(x).shape
        ((5, 256), (5, 64), (5, 256))
        >>> x, y = problem.image("camera")
        >>> problem.assemble(x, "camera").shape
        (512, 512)
    """

    counts_photons: ClassVar[bool] = False  # patterns of +-1 are differences of two measurements

    def __init__(
        self,
        size: Size = 64,
        ratio: float = 0.25,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        matrix: Literal["hadamard", "rademacher", "gaussian"] = "hadamard",
        snr_db: float | None = None,
        seed: int = 0,
        images: Any = None,
        noise: Noise | None = None,
        crops: Crops | None = None,
    ) -> None:
        """Cut the images and draw the measurement from ``seed``.

        Args:
            size: height and width of an image in pixels, or the side of a square.
            ratio: measurements per pixel, m / n, n pixels.
            transform: orthonormal 2-D transform in which images are sparse: "dct" or "wavelet"; None: the
                unknowns are pixels minus 1/2.
            wavelet: "db1" (Haar) to "db8"; not used by "dct".
            matrix: "hadamard" or "rademacher" (+-1 patterns), or "gaussian"; columns of unit norm.
            snr_db: signal-to-noise ratio of each measurement in dB; None for no noise.
            seed: seed of the measurement.
            images, noise, crops: see ``ImageProblem``.

        Raises:
            ValueError: an argument out of range or an unknown name.
            ModuleNotFoundError: scikit-image, which carries the images, is not installed.
        """
        size, seed = checked_size(size, seed)
        phi = measurement(matrix, ratio, math.prod(sides(size)), seed)
        self._make(
            phi,
            size,
            transform,
            wavelet,
            snr_db,
            None,
            seed,
            images,
            noise=noise,
            crops=crops,
            ratio=ratio,
            matrix=matrix,
        )
