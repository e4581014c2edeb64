"""The single-pixel camera on patches of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Array, Float

from unrollbit.metrics import psnr_db, ssim
from unrollbit.operators import Composition
from unrollbit.problems.base import SUBSETS, Problem, Subset, checked_seed, positive_int
from unrollbit.problems.images import assemble_tiles, load_image, overlapping_tiles
from unrollbit.problems.noise import checked_snr
from unrollbit.problems.prior import banded_prior, bands
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples, Samples, measurement
from unrollbit.problems.transforms import Transform, coefficients, synthesis, transformed
from unrollbit.shrinkage import Grouped

IMAGES: dict[Subset, tuple[str, ...]] = {
    "train": ("astronaut", "coins", "ihc", "moon", "motorcycle"),
    "validation": ("coffee",),
    "test": ("camera", "chelsea"),
}
GREY = 0.5  # what is subtracted from every pixel
SSIM_WINDOW = 11


def patches(subset: Subset, size: int) -> Float[np.ndarray, "count size*size"]:
    """Flat patches of the subset's images in their order, float32 in [0, 1].

    Training: overlapping by half; validation and test: tiles that do not overlap.
    """
    stride = max(1, size // 2) if subset == "train" else size
    return np.concatenate([_flat_tiles(name, size, stride) for name in IMAGES[subset]])


@register_problem("operator", "samples")
@dataclass(frozen=True, init=False)
class ImagePatchRecovery(DrawsFromSamples, Problem):
    """``y = Phi Psi x + noise``: patches ``p = 1/2 + Psi x`` of photographs, measured with +-1 patterns ``Phi``.

    ``Psi`` is an orthonormal 2-D synthesis, ``x`` the coefficients. A camera measures ``Phi p``; the known constant
    ``Phi 1/2`` is subtracted, the same for all patches, so the mean of a patch is an unknown like any other. Training,
    validation and test have different images (``IMAGES``): 19,150, 925 and 1,528 patches of 16 x 16 pixels.

    Example:
        >>> import jax
        >>> problem = ImagePatchRecovery().split("test")
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, problem.signal(x).shape
        ((5, 256), (5, 64), (5, 256))
        >>> x, y = problem.image("camera")
        >>> problem.assemble(x, "camera").shape
        (512, 512)
    """

    operator: Composition
    samples: Samples
    size: int
    ratio: float
    transform: Transform
    wavelet: str
    matrix: str
    snr_db: float | None
    seed: int
    subset: Subset = "train"

    def __init__(
        self,
        size: int = 16,
        ratio: float = 0.25,
        transform: Transform = "dct",
        wavelet: str = "db1",
        matrix: Literal["hadamard", "rademacher", "gaussian"] = "hadamard",
        snr_db: float | None = None,
        seed: int = 0,
    ) -> None:
        """Cut the patches and draw the measurement from ``seed``.

        Args:
            size: height and width of a patch in pixels.
            ratio: measurements per pixel, m / n; n = size * size.
            transform: orthonormal 2-D transform in which patches are sparse: "dct" or "wavelet".
            wavelet: "db1" (Haar) to "db8"; not used by "dct".
            matrix: "hadamard" or "rademacher" (+-1 patterns), or "gaussian"; columns of unit norm.
            snr_db: signal-to-noise ratio of each measurement in dB; None for no noise.
            seed: seed of the measurement.

        Raises:
            ValueError: an argument out of range or an unknown name.
            ModuleNotFoundError: scikit-image, which carries the images, is not installed.
        """
        size = positive_int("size", size)
        phi = measurement(matrix, ratio, size * size, checked_seed(seed))
        psi = synthesis(transform, (size, size), wavelet)
        samples = coefficients(psi, [patches(subset, size) - GREY for subset in SUBSETS])
        snr_db = checked_snr(snr_db)
        self._set(Composition.of(phi, psi), samples, size, ratio, transform, wavelet, matrix, snr_db, int(seed))

    def signal(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``1/2 + Psi x``: the flat pixels of patches, in [0, 1] for true ``x``."""
        return GREY + transformed(self.operator.inner, x)

    def metrics(self, x_hat: Float[Array, "batch n"], x: Float[Array, "batch n"]) -> dict[str, float]:
        """Those of every problem (of ``x``, grey level subtracted), and mean PSNR in dB and SSIM of the patches.

        Patches smaller than the window of SSIM (11 pixels) have none.
        """
        estimate, truth = self.signal(x_hat), self.signal(x)
        figures = {**super().metrics(x_hat, x), "psnr_db": float(psnr_db(estimate, truth))}
        if self.size < SSIM_WINDOW:
            return figures
        return figures | {"ssim": float(ssim(estimate, truth, (self.size, self.size)))}

    def image(self, name: str = "camera") -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        """The pairs ``(x, y)`` of all tiles of one image of this subset, row by row.

        Raises ``ValueError`` for a training subset, whose patches overlap, and an image of another subset.
        """
        counts = [_flat_tiles(other, self.size, self.size).shape[0] for other in self._tiled(name)]
        x, y = self.all()
        first = sum(counts[:-1])
        return x[first : first + counts[-1]], y[first : first + counts[-1]]

    def assemble(self, x: Float[Array, "count n"], name: str = "camera") -> Float[np.ndarray, "height width"]:
        """The image (cropped to whole tiles) whose tiles have the coefficients ``x``, in the order of ``image(name)``.

        Values are those of ``signal(x)``, not clipped. Raises ``ValueError`` if the number of tiles does not fit.
        """
        tiles = np.asarray(self.signal(x)).reshape(-1, self.size, self.size)
        return assemble_tiles(tiles, load_image(name).shape)

    def prior(self) -> Grouped:
        return banded_prior(self.samples[0], bands(self.operator.inner, (self.size, self.size)))

    def to_spec(self) -> dict[str, Any]:
        fields = ("size", "ratio", "transform", "wavelet", "matrix", "snr_db", "seed")
        spec = {"kind": "ImagePatchRecovery", **{name: getattr(self, name) for name in fields}}
        return {name: value for name, value in spec.items() if value is not None}

    def _tiled(self, name: str) -> tuple[str, ...]:
        """The images of this subset up to and including ``name``."""
        names = IMAGES[self.subset]
        if self.subset == "train" or name not in names:
            tiled = {subset: IMAGES[subset] for subset in ("validation", "test")}
            raise ValueError(f"image: expected one of {tiled} and that subset, got {name!r} of {self.subset!r}")
        return names[: names.index(name) + 1]


def _flat_tiles(name: str, size: int, stride: int) -> Float[np.ndarray, "count size*size"]:
    return overlapping_tiles(load_image(name), size, stride).reshape(-1, size * size)
