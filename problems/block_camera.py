"""The single-pixel camera block by block, with patterns that are learned."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from unrollbit.arguments import choice, instance
from unrollbit.operators import BlockPatterns, hadamard_patterns, learned_patterns
from unrollbit.problems.base import fraction, positive_int
from unrollbit.problems.imaging import ImageProblem, checked_square
from unrollbit.problems.noise import Noise
from unrollbit.problems.photographs import Crops, Photographs
from unrollbit.problems.registration import register_problem
from unrollbit.problems.transforms import Transform

Patterns = Literal["learned", "hadamard"]


@register_problem("operator", "samples", "random_crops")
@dataclass(frozen=True, init=False)
class BlockCamera(ImageProblem):
    """Images of which every block is measured through the same +-1 patterns, which the training photographs choose.

    ``Phi`` is ``BlockPatterns``: one bit for each pixel of each pattern, whatever the size of the image. See
    ``learned_patterns``, ``hadamard_patterns`` and ``ImageProblem``.

    Example:
        >>> problem = BlockCamera(size=16, block=8, patterns="hadamard")
        >>> problem.operator.shape, problem.signal_shape
        ((64, 256), (16, 16))

    Source: L. Gan, "Block compressed sensing of natural images", 2007.
    """

    counts_photons: ClassVar[bool] = False  # patterns of +-1 are differences of two measurements
    physics_argument: ClassVar[str | None] = "camera"

    def __init__(
        self,
        size: int = 64,
        ratio: float = 0.25,
        block: int = 16,
        patterns: Patterns = "learned",
        transform: Transform | None = None,
        wavelet: str = "db4",
        snr_db: float | None = None,
        seed: int = 0,
        images: Any = None,
        noise: Noise | None = None,
        crops: Crops | None = None,
        *,
        camera: BlockPatterns | None = None,
    ) -> None:
        """Find the patterns and cut the images.

        Args:
            size: height and width of an image in pixels, a multiple of ``block``.
            ratio: patterns of a block over its pixels; the nearest number of patterns is taken.
            block: height and width of a block in pixels.
            patterns: "learned" (a few seconds) or "hadamard".
            transform, wavelet, snr_db, images, noise, crops: see ``ImageProblem``.
            seed: seed of the search for patterns.
            camera: the patterns, where they are known (a file of a network holds them).

        Raises:
            ValueError: an argument out of range or an unknown name.
        """
        size, seed = checked_square(size, seed)
        block, patterns = positive_int("block", block), choice("patterns", patterns, get_args(Patterns))
        if size % block:
            raise ValueError(f"size: expected a multiple of the block of {block} pixels, got {size}")
        m = max(1, round(fraction("ratio", ratio) * block**2))
        if camera is None:
            camera = _found(Photographs.of(images), block, m, patterns, seed)
        camera = instance("camera", camera, BlockPatterns, "learned_patterns(images, 16, 64)")
        phi, own = camera.resized((size, size)), {"ratio": ratio, "block": block, "patterns": patterns}
        self._make(phi, size, transform, wavelet, snr_db, None, seed, images, noise=noise, crops=crops, **own)


@functools.lru_cache(maxsize=4)
def _found(source: Photographs, block: int, m: int, patterns: str, seed: int) -> BlockPatterns:
    images = [source.read(name) for name in source.names("train")]
    if patterns == "hadamard":
        return hadamard_patterns(images, block, m)
    return learned_patterns(images, block, m, seed=seed)
