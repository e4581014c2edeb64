"""Accelerated magnetic resonance imaging."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import scipy.io
from jaxtyping import Int

from unrollbit.arguments import choice, number
from unrollbit.operators import LinearOperator, SubsampledFourier
from unrollbit.problems.array_files import rows_of
from unrollbit.problems.imaging import ImageProblem, checked_size, checked_square
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Size
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform

Sampling = Literal["cartesian", "variable_density"]
_CENTRE = 0.08  # share of the lines (or of the radius) around zero frequency that are always measured
_DECAY = 3.0


def sampled_frequencies(size: int, acceleration: float, sampling: Sampling, seed: int) -> Int[np.ndarray, " count"]:
    """Flat indices of the measured frequencies of a real ``size x size`` image, ascending.

    A real image has conjugate-symmetric frequencies, so one of each pair is measured: about ``size^2 / (2
    acceleration)`` of them. ``cartesian``: whole lines (phase encodes), the central 8 % always, the others at random;
    ``variable_density``: single frequencies, with a probability that falls with the cube of the distance to zero
    frequency. Drawn from ``RandomState(seed)``.

    Raises ``ValueError`` for an unknown sampling or an acceleration below 1 or too large for one line.
    """
    choice("sampling", sampling, get_args(Sampling))
    wanted = f"a number from 1 to size / 2 = {size / 2:g}"
    acceleration = number("acceleration", acceleration, lambda ratio: 1 <= ratio <= size / 2, wanted)
    random, frequency = np.random.RandomState(seed), np.minimum(np.arange(size), size - np.arange(size))
    rows, columns = np.divmod(np.arange(size * size), size)
    mirrored = (-rows % size) * size + (-columns % size)
    one_of_each = np.arange(size * size) <= mirrored
    if sampling == "cartesian":
        lines = np.arange(size // 2 + 1)  # the others are mirror images
        count = max(1, round(len(lines) / acceleration))
        centre = max(1, round(_CENTRE * len(lines)))
        others = random.permutation(lines[centre:])[: max(0, count - centre)]
        kept = np.isin(rows, np.concatenate([lines[:centre], others])[:count])
        return np.flatnonzero(kept & one_of_each)
    candidates = np.flatnonzero(one_of_each)
    distance = np.hypot(frequency[rows[candidates]], frequency[columns[candidates]]) / (size / 2)
    weight = np.where(distance <= _CENTRE, 1e6, np.maximum(1 - distance / np.sqrt(2), 0) ** _DECAY + 1e-9)
    order = np.argsort(random.exponential(size=len(candidates)) / weight, kind="stable")  # drawn without replacement
    return np.sort(candidates[order[: max(1, round(len(candidates) / acceleration))]])


def mask_of(mask: Any) -> np.ndarray:
    """A mask of frequencies: an array, or the only one of a ``.npy`` or MATLAB file.

    Raises ``ValueError`` for what is none.
    """
    if isinstance(mask, str | os.PathLike) and os.fspath(mask).endswith(".mat"):
        try:
            found = [value for name, value in scipy.io.loadmat(mask).items() if not name.startswith("__")]
        except (OSError, ValueError, NotImplementedError) as error:
            raise ValueError(f"mask: {mask} is not a MATLAB file of version 7 or older: {error}") from error
        if len(found) != 1:
            raise ValueError(f"mask: expected a MATLAB file of one array, got {len(found)} in {mask}")
        mask = found[0]
    return rows_of("mask", mask)


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class MagneticResonance(ImageProblem):
    """Images of which some frequencies are measured: ``Phi`` is a subsampled unitary Fourier transform, (Re, Im).

    One coil, real images. Reference: M. Lustig, D. Donoho, J. Pauly, "Sparse MRI", 2007. See ``sampled_frequencies``
    and ``ImageProblem``.

    Example:
        >>> MagneticResonance(acceleration=4, size=16).operator.shape
        (64, 256)
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("images", "mask")
    physics_argument: ClassVar[str | None] = "mask"
    counts_photons: ClassVar[bool] = False

    def __init__(
        self,
        acceleration: float = 3.0,
        sampling: Sampling = "variable_density",
        size: int = 32,
        transform: Transform | None = "wavelet",
        wavelet: str = "db4",
        snr_db: float | None = None,
        seed: int = 0,
        images: Any = None,
        noise: Noise | None = None,
        crops: Crops | None = None,
        mask: Any = None,
    ) -> None:
        """Cut the images and draw the measured frequencies from ``seed``, or take those of a mask.

        Args:
            acceleration: all frequencies over measured ones.
            sampling: "cartesian" (whole lines) or "variable_density" (single frequencies).
            size: height and width of an image in pixels.
            transform, wavelet, snr_db, images, noise, crops: see ``ImageProblem``.
            seed: seed of the measured frequencies.
            mask: the measured frequencies in place of drawn ones, zero frequency first and ``-f`` with every ``f``: an
                array of the size of the image (which ``size`` need not say then), the path of a ``.npy`` or MATLAB
                file of one, or the operator. ``acceleration`` and ``sampling`` are not looked at.

        Raises:
            ValueError: an argument out of range or an unknown name, or a mask of another shape.
        """
        own: dict[str, Any] = {"acceleration": acceleration, "sampling": sampling}
        sides: Size
        if mask is None:
            sides, seed = checked_square(size, seed)
            phi = SubsampledFourier.of((sides, sides), sampled_frequencies(sides, acceleration, sampling, seed))
        else:
            phi = mask if isinstance(mask, LinearOperator) else SubsampledFourier.of_mask(mask_of(mask))
            sides, seed = checked_size(phi.signal_shape, seed)  # pyright: ignore[reportAttributeAccessIssue]
            own = {"mask": os.fspath(mask)} if isinstance(mask, str | os.PathLike) else own
        self._make(phi, sides, transform, wavelet, snr_db, None, seed, images, noise=noise, crops=crops, **own)
