"""What all image problems share: photographs, a transform in which they are sparse, noise, figures of merit."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.metrics import psnr_db, ssim
from unrollbit.operators import LinearOperator
from unrollbit.problems.base import SUBSETS, Problem, checked_seed, positive_int
from unrollbit.problems.noise import add_gaussian_noise, add_poisson_noise, checked_photons, checked_snr
from unrollbit.problems.photographs import Photographs
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
SSIM_WINDOW = 11


@register_problem("operator", "samples")
@dataclass(frozen=True, init=False)
class ImageRecovery(Described, DrawsFromSamples, Problem, abstract=True):
    """``y = Phi Psi x + noise``: square images ``p = 1/2 + Psi x`` cut from photographs, measured by ``Phi``.

    ``Psi`` is an orthonormal 2-D synthesis, ``x`` the coefficients; with ``transform=None`` there is no ``Psi``, and
    the unknowns are pixels minus 1/2. The physics measures ``Phi p``; the known constant ``Phi 1/2`` is subtracted, so
    the mean of an image is an unknown like any other. Training, validation and test have different photographs (see
    ``Photographs``). Subclasses say what ``Phi`` is; ``own`` names their arguments.

    Noise: Gaussian of a stated SNR (``snr_db``), or Poisson of a stated number of ``photons`` that a measurement of 1
    stands for.
    """

    operator: LinearOperator
    samples: Samples
    size: int
    transform: Transform
    wavelet: str
    snr_db: float | None
    photons: float | None
    seed: int
    folder: str | None
    own: tuple[tuple[str, Any], ...]
    subset: str = "train"  # pyright: ignore[reportIncompatibleVariableOverride]
    counts_photons: ClassVar[bool] = True

    def _make(
        self,
        phi: LinearOperator,
        size: Any,
        transform: Any,
        wavelet: Any,
        snr_db: Any,
        photons: Any,
        seed: Any,
        folder: Any,
        **own: Any,
    ) -> None:
        """Cut the images and compose the physics; constructors end with it."""
        if snr_db is not None and photons is not None:
            raise ValueError("snr_db and photons: expected one of the two noises, or none, got both")
        transform = checked_transform(transform)
        psi = synthesis(transform, (size, size), wavelet)
        source = Photographs.of(folder)
        samples = coefficients(psi, [source.crops(subset, size) - GREY for subset in SUBSETS])
        noise = checked_snr(snr_db), checked_photons(photons)
        where = None if folder is None else os.fspath(folder)
        kept = tuple(sorted(own.items()))
        self._set(measured_through(phi, psi), samples, size, transform, wavelet, *noise, int(seed), where, kept)

    def __getattr__(self, name: str) -> Any:
        """The subclass's own arguments."""
        if not name.startswith("_"):
            for own, value in self.__dict__.get("own", ()):
                if own == name:
                    return value
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def measured(self, x: Float[Array, "*batch n"], key: Array) -> Float[Array, "*batch m"]:
        """``A x`` plus noise."""
        y = transformed(self.operator, x)
        if self.photons is None:
            return add_gaussian_noise(key, y, self.snr_db)
        constant = self.measurement(jnp.full(self.measurement.shape[1], GREY, y.dtype))
        return add_poisson_noise(key, y + constant, self.photons) - constant

    def with_physics(self, A: LinearOperator) -> Self:
        """The same noise on measurements of other physics of pixels, of images of another size, say; ``measured`` and
        ``signal`` are then for its unknowns. Raises ``ValueError`` where the unknowns are coefficients.
        """
        if self.synthesis is not None:
            raise ValueError(
                f"transform: other physics needs unknowns that are pixels (None), not those of {self.transform!r}"
            )
        return self._with(operator=A)

    @property
    def grid(self) -> tuple[int, int]:
        return self.size, self.size

    @property
    def measurement(self) -> LinearOperator:
        """``Phi``, which measures pixels."""
        return self.operator if self.synthesis is None else self.operator.outer  # pyright: ignore[reportAttributeAccessIssue]

    def signal(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        """``1/2 + Psi x``: the flat pixels of images, in [0, 1] for true ``x``."""
        return GREY + super().signal(x)

    def metrics(self, x_hat: Float[Array, "batch n"], x: Float[Array, "batch n"]) -> dict[str, float]:
        """Those of every problem (of ``x``, grey level subtracted), and mean PSNR in dB and SSIM of the images.

        Images smaller than the window of SSIM (11 pixels) have none.
        """
        estimate, truth = self.signal(x_hat), self.signal(x)
        figures = {**super().metrics(x_hat, x), "psnr_db": float(psnr_db(estimate, truth))}
        if self.size < SSIM_WINDOW:
            return figures
        return figures | {"ssim": float(ssim(estimate, truth, (self.size, self.size)))}

    def pictures(self) -> tuple[str, ...]:
        """The photographs of this subset that are cut into tiles; training has crops that overlap."""
        return () if self.subset == "train" else Photographs.of(self.folder).names(self.subset)

    def image(self, name: str = "camera") -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        """The pairs ``(x, y)`` of all tiles of one photograph of this subset, row by row.

        Raises ``ValueError`` for a training subset, whose crops overlap, and a photograph of another subset.
        """
        first, count = Photographs.of(self.folder).place(self.subset, name, self.size)
        x, y = self.all()
        return x[first : first + count], y[first : first + count]

    def assemble(self, x: Float[Array, "count n"], name: str = "camera") -> Float[np.ndarray, "height width"]:
        """The photograph (cropped to whole tiles) whose tiles have the coefficients ``x``, in the order of
        ``image(name)``.

        Values are those of ``signal(x)``, not clipped. Raises ``ValueError`` if the number of tiles does not fit.
        """
        tiles = np.asarray(self.signal(x)).reshape(-1, self.size, self.size)
        return Photographs.of(self.folder).assembled(tiles, name)

    def to_spec(self) -> dict[str, Any]:
        fields = ("size", "transform", "wavelet", "snr_db", "photons", "seed", "folder")
        spec = {"kind": type(self).__name__, **dict(self.own), **{name: getattr(self, name) for name in fields}}
        if not self.counts_photons:
            del spec["photons"]
        return {name: value for name, value in spec.items() if value is not None}


def checked_size(size: Any, seed: Any) -> tuple[int, int]:
    """Raise ``ValueError`` unless the size is a positive integer and the seed a seed."""
    return positive_int("size", size), checked_seed(seed)
