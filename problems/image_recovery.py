"""Images measured by any operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from unrollbit.problems.images import sides
from unrollbit.problems.imaging import ImageProblem, checked_size, size_of
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Size
from unrollbit.problems.physics_files import physics_and_source, written
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class ImageRecovery(ImageProblem):
    """``y = Phi p + noise``: images ``p`` measured by any operator ``Phi``: a blur, a mask, a matrix, any code.

    See ``ImageProblem`` for the unknowns and the arguments that image problems share.

    Example:
        >>> import jax, numpy as np
        >>> from unrollbit.operators import Convolution
        >>> from unrollbit.problems import Poisson
        >>> blur = Convolution.of(np.ones((1, 5)) / 5, (16, 24))
        >>> problem = ImageRecovery(blur, noise=Poisson(photons=1000), size=(16, 24))
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape, problem.signal_shape, bool((abs(x) <= 0.5).all())
        ((5, 384), (5, 384), (16, 24), True)
    """

    data_arguments: ClassVar[tuple[str, ...]] = ("physics", "images")
    physics_argument: ClassVar[str | None] = "physics"

    def __init__(
        self,
        physics: Any,
        images: Any = None,
        noise: Noise | None = None,
        *,
        size: Size | None = None,
        transform: Transform | None = None,
        wavelet: str = "db4",
        crops: Crops | None = None,
        snr_db: float | None = None,
        photons: float | None = None,
        seed: int = 0,
    ) -> None:
        """Cut the images.

        Args:
            physics: ``Phi``, which measures the pixels of an image row by row: whatever ``as_operator`` takes or, in
                TOML, the path of a ``.npy`` matrix or the table of an operator, whose arrays may be such paths.
            images, noise, transform, wavelet, crops, snr_db, photons: see ``ImageProblem``.
            size: height and width of an image in pixels, or the side of a square; None: a square of as many pixels as
                the physics has unknowns, or the ``signal_shape`` that it has.
            seed: seed of the noise of ``all``.

        Raises:
            ValueError: physics of another size than the images, an argument out of range, an unknown name, or a folder
                without images that fit.
            TypeError: physics that is none.
        """
        shape = None if size is None else sides(checked_size(size, seed)[0])
        phi, source = physics_and_source("physics", physics, shape=shape)
        size, seed = checked_size(size_of(phi) if size is None else size, seed)
        own = {} if source is None else {"physics": source}
        self._make(phi, size, transform, wavelet, snr_db, photons, seed, images, noise=noise, crops=crops, **own)

    def to_spec(self) -> dict[str, Any]:
        """The physics as the path or table that was given, or its own spec, if that is small; else it is left out."""
        spec = super().to_spec()
        physics = spec.get("physics") or written(self.measurement)
        return spec if physics is None else {"kind": spec.pop("kind"), "physics": physics, **spec}
