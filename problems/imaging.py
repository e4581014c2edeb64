"""What all image problems share: photographs, a transform in which they are sparse, noise, figures of merit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import choice
from unrollbit.metrics import SSIM_WINDOW, psnr_db, ssim
from unrollbit.operators import LinearOperator
from unrollbit.problems.base import SUBSETS, Problem, checked_seed, positive_int, subset_key
from unrollbit.problems.images import sides
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.photographs import Crops, Photographs, Size
from unrollbit.problems.random_crops import RandomCrops
from unrollbit.problems.registration import register_problem
from unrollbit.problems.samples import DrawsFromSamples, Samples
from unrollbit.problems.transforms import (
    Described,
    Transform,
    checked_transform,
    coefficients,
    measured_through,
    synthesis,
    transformed,
)

GREY = 0.5  # what is subtracted from every pixel


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class ImageProblem(Described, DrawsFromSamples, Problem, abstract=True):
    """``y = Phi Psi x + noise``: images ``p = 1/2 + Psi x`` cut from photographs, measured by ``Phi``.

    ``Psi`` is an orthonormal 2-D synthesis, ``x`` the coefficients; with ``transform=None`` there is no ``Psi``, and
    the unknowns are pixels minus 1/2. The physics measures ``Phi p``; the known constant ``Phi 1/2`` is subtracted, so
    the mean of an image is an unknown like any other. Subclasses say what ``Phi`` is; ``own`` names their arguments.
    Arguments that all have:

    - ``size``: height and width of an image in pixels, or the side of a square.
    - ``transform``: "dct" or "wavelet" (``wavelet``: "db1", Haar, to "db8"); None: unknowns are pixels minus 1/2.
    - ``noise``: ``Gaussian`` or ``Poisson``; None: no noise. ``snr_db`` and ``photons`` are short for
      ``Gaussian(snr_db=...)`` and ``Poisson(photons=...)``, of a measurement of 1.
    - ``images``: an ``ImageFolder`` or the path of one; None: the photographs of scikit-image. Training, validation and
      test have different photographs.
    - ``crops``: training images at "random" places, turned and mirrored, or from a "grid" (see ``Photographs.crops``).
      None: random, but from a grid of the few photographs of scikit-image. ``all`` gives crops that do not overlap of
      what is drawn at random, and of validation and test.
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("images",)
    counts_photons: ClassVar[bool] = True
    operator: LinearOperator
    samples: Samples
    random_crops: RandomCrops | None
    size: Size
    transform: Transform
    wavelet: str
    noise: Noise | None
    seed: int
    images: Photographs
    own: tuple[tuple[str, Any], ...]
    subset: str = "train"  # pyright: ignore[reportIncompatibleVariableOverride]

    def _make(
        self,
        phi: LinearOperator,
        size: Any,
        transform: Any,
        wavelet: Any,
        snr_db: Any,
        photons: Any,
        seed: Any,
        images: Any,
        *,
        noise: Noise | None = None,
        crops: Any = None,
        **own: Any,
    ) -> None:
        """Cut the images and compose the physics; constructors end with it."""
        pixels = sides(size)
        if phi.shape[1] != pixels[0] * pixels[1]:
            raise ValueError(
                f"size: {pixels[0]} x {pixels[1]} are {pixels[0] * pixels[1]} pixels, but the physics measures "
                f"{phi.shape[1]} unknowns; expected the size of the images that it measures"
            )
        grid = getattr(phi, "signal_shape", ())
        if len(grid) == 2 and tuple(grid) != pixels:
            raise ValueError(f"size: {pixels[0]} x {pixels[1]}, but the physics measures {grid[0]} x {grid[1]} pixels")
        noise = noise_of(noise, snr_db, photons)
        if noise is not None and noise.counts and not self.counts_photons:
            raise ValueError(f"noise: {type(self).__name__} measures differences, which are no counts; take Gaussian")
        transform = checked_transform(transform)
        psi = synthesis(transform, pixels, wavelet)
        source = Photographs.of(images)
        crops = source.training_crops if crops is None else choice("crops", crops, get_args(Crops))
        drawn = source.random_crops("train", pixels) if crops == "random" else None
        training = source.crops("train", pixels) if drawn is None else source.tiles("train", pixels)
        tiles = [training, *(source.crops(subset, pixels) for subset in SUBSETS[1:])]
        samples = coefficients(psi, [part - GREY for part in tiles])
        kept = tuple(sorted(own.items()))
        self._set(measured_through(phi, psi), samples, drawn, size, transform, wavelet, noise, int(seed), source, kept)

    def __getattr__(self, name: str) -> Any:
        """The subclass's own arguments."""
        if not name.startswith("_"):
            for own, value in self.__dict__.get("own", ()):
                if own == name:
                    return value
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        if self.random_crops is None or self.subset != "train":
            return super().sample(key, batch)
        crop_key, noise_key = jax.random.split(subset_key(key, self.subset))
        pixels = self.random_crops(crop_key, batch) - GREY
        x = pixels if self.synthesis is None else transformed(self.synthesis.T, pixels)
        return x, self.measured(x, noise_key)

    def with_physics(self, A: LinearOperator) -> Self:
        """The same noise on measurements of other physics of pixels, of images of another size, say; ``measured`` and
        ``signal`` are then for its unknowns. The size of the images is that of its grid, or the problem's own, or a
        square. Raises ``ValueError`` where the unknowns are coefficients, or for pixels of no known size.
        """
        if self.synthesis is not None:
            raise ValueError(
                f"transform: other physics needs unknowns that are pixels (None), not those of {self.transform!r}"
            )
        return self._with(operator=A, size=checked_size(size_of(A, self.grid), self.seed)[0])

    @property
    def grid(self) -> tuple[int, int]:
        return sides(self.size)

    @property
    def crops(self) -> Crops:
        """Where training images are cut: at "random" places, or from a "grid"."""
        return "grid" if self.random_crops is None else "random"

    @property
    def constant(self) -> Array | float:
        """``Phi 1/2`` where noise counts photons, which it adds to."""
        if self.noise is None or not self.noise.counts:
            return 0.0
        return self.measurement(jnp.full(self.measurement.shape[1], GREY))

    def recover(
        self, network: Callable[[Float[Array, "*batch m"]], Float[Array, "*batch n"]], y: Float[Array, "*batch m"]
    ) -> Float[Array, "*batch n"]:
        """Flat pixels from measurements of pixels, ``y = Phi p + noise`` as a camera gives them. Networks work on
        ``y - Phi 1/2``, and so do ``sample`` and ``all``: ``signal(network(y - Phi 1/2))``.
        """
        return self.signal(network(y - self.measurement(jnp.full(self.measurement.shape[1], GREY))))

    def signal(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``1/2 + Psi x``: the flat pixels of images, in [0, 1] for true ``x``."""
        return GREY + super().signal(x)

    def metrics(self, x_hat: Float[Array, "batch n"], x: Float[Array, "batch n"]) -> dict[str, float]:
        """Those of every problem (of ``x``, grey level subtracted), and mean PSNR in dB and SSIM of the images.

        Images smaller than the window of SSIM (11 pixels) have none.
        """
        estimate, truth = self.signal(x_hat), self.signal(x)
        figures = {**super().metrics(x_hat, x), "psnr_db": float(psnr_db(estimate, truth))}
        if min(self.grid) < SSIM_WINDOW:
            return figures
        return figures | {"ssim": float(ssim(estimate, truth, self.grid))}

    def pictures(self) -> tuple[str, ...]:
        """The photographs of this subset that are cut into tiles; training has crops that overlap."""
        return () if self.subset == "train" else self.images.fitting(self.subset, self.size)  # pyright: ignore[reportArgumentType]

    def image(self, name: str = "camera") -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        """The pairs ``(x, y)`` of all tiles of one photograph of this subset, row by row.

        Raises ``ValueError`` for a training subset, whose crops overlap, and a photograph of another subset.
        """
        first, count = self.images.place(self.subset, name, self.size)  # pyright: ignore[reportArgumentType]
        x, y = self.all()
        return x[first : first + count], y[first : first + count]

    def assemble(self, x: Float[Array, "count n"], name: str = "camera") -> Float[np.ndarray, "height width"]:
        """The photograph (cropped to whole tiles) whose tiles have the coefficients ``x``, in the order of
        ``image(name)``.

        Values are those of ``signal(x)``, not clipped. Raises ``ValueError`` if the number of tiles does not fit.
        """
        return self.images.assembled(np.asarray(self.signal(x)).reshape(-1, *self.grid), name)

    def to_spec(self) -> dict[str, Any]:
        side = self.size if isinstance(self.size, int) else list(self.size)
        spec = {"kind": type(self).__name__, **dict(self.own), "size": side}
        spec |= {"transform": self.transform, "wavelet": self.wavelet, "seed": self.seed, **noise_arguments(self.noise)}
        spec |= {"images": self.images.argument()}
        spec |= {"crops": None if self.crops == self.images.training_crops else self.crops}
        return {name: value for name, value in spec.items() if value is not None}


def size_of(phi: LinearOperator, otherwise: tuple[int, int] | None = None) -> Size:
    """Height and width of the images that physics measures: those of its grid, ``otherwise`` if they are as many
    pixels, or a square.
    """
    shape, n = getattr(phi, "signal_shape", ()), phi.shape[1]
    if len(shape) == 2:
        return shape
    if otherwise is not None and math.prod(otherwise) == n:
        return otherwise
    side = math.isqrt(n)
    if side**2 != n:
        raise ValueError(f"size: missing; expected (height, width) of the {n} pixels that the physics measures")
    return side


def checked_size(size: Any, seed: Any) -> tuple[Size, int]:
    """Raise ``ValueError`` unless the size is a positive integer or two of them, and the seed a seed."""
    if isinstance(size, tuple | list) and len(size) == 2:
        height, width = (positive_int("size", side) for side in size)
        return (height if height == width else (height, width)), checked_seed(seed)
    return positive_int("size", size), checked_seed(seed)


def checked_square(size: Any, seed: Any) -> tuple[int, int]:
    """``checked_size`` of physics for square images alone."""
    size, seed = checked_size(size, seed)
    if not isinstance(size, int):
        raise ValueError(f"size: expected one side, of a square image, got {size}")
    return size, seed
