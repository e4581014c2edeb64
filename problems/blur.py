"""Blurred and low-resolution images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import choice, number
from unrollbit.operators import Convolution
from unrollbit.problems.base import positive_int
from unrollbit.problems.images import sides
from unrollbit.problems.imaging import ImageProblem, checked_size
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform

Kernel = Literal["gaussian", "motion", "box"]

_OWN = (
    "; for a kernel of your own: Problem.from_arrays(Convolution.of(kernel, (height, width)), images), each image a row"
)


def blur_kernel(kernel: Kernel, width: float) -> Float[np.ndarray, "height width"]:
    """A kernel of sum 1: ``gaussian`` of standard deviation ``width`` pixels (cut at 3), ``motion`` along the diagonal
    over ``width`` pixels, ``box`` of ``width x width`` pixels.

    Raises ``ValueError`` for an unknown kernel or a width that is no positive number (no integer, for the last two).
    """
    choice("kernel", kernel, get_args(Kernel), _OWN)
    if kernel == "gaussian":
        width = number("width", width, lambda pixels: pixels > 0, "a standard deviation > 0 in pixels")
        reach = max(1, math.ceil(3 * width))
        profile = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
        values = np.outer(profile, profile)
    else:
        side = positive_int("width", int(width) if isinstance(width, float) and width.is_integer() else width)
        values = np.eye(side) if kernel == "motion" else np.ones((side, side))
    return (values / values.sum()).astype(np.float32)


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class Deblurring(ImageProblem):
    """Images blurred by a known kernel: ``Phi`` is a periodic convolution of the image's own size.

    See ``blur_kernel`` and ``ImageProblem``.

    Example:
        >>> problem = Deblurring("motion", width=5, size=16)
        >>> problem.operator.outer.kernel.shape, problem.operator.shape
        ((5, 5), (256, 256))
    """

    def __init__(
        self,
        kernel: Kernel = "gaussian",
        width: float = 1.2,
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
        """Cut the images; nothing about the physics is random, ``seed`` is that of the noise.

        Args:
            kernel: "gaussian", "motion" or "box".
            width: of the kernel in pixels: a standard deviation (gaussian), a length (motion) or a side (box).
            size: height and width of an image in pixels, or the side of a square.
            transform, wavelet, snr_db, photons, images, noise, crops: see ``ImageProblem``.
            seed: seed of the noise of ``all``.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_size(size, seed)
        phi = Convolution.of(blur_kernel(kernel, width), sides(size))
        self._make(
            phi,
            size,
            transform,
            wavelet,
            snr_db,
            photons,
            seed,
            images,
            noise=noise,
            crops=crops,
            kernel=kernel,
            width=width,
        )


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class SuperResolution(ImageProblem):
    """Images of which a camera sees means over squares of ``factor x factor`` pixels.

    Example:
        >>> SuperResolution(factor=2, size=16).operator.shape
        (64, 256)
    """

    def __init__(
        self,
        factor: int = 2,
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
        """Cut the images; nothing about the physics is random.

        Args:
            factor: how many times coarser the measured grid is on each axis; divides ``size``.
            size: height and width of an image in pixels, or the side of a square.
            transform, wavelet, snr_db, photons, images, noise, crops: see ``ImageProblem``.
            seed: seed of the noise of ``all``.

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_size(size, seed)
        factor = positive_int("factor", factor)
        if any(side % factor for side in sides(size)):
            raise ValueError(f"factor: expected a divisor of size = {size}, got {factor}")
        phi = Convolution.of(blur_kernel("box", factor), sides(size), stride=factor)
        self._make(
            phi, size, transform, wavelet, snr_db, photons, seed, images, noise=noise, crops=crops, factor=factor
        )
