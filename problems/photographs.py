"""Where images come from: three sets of photographs that share none."""

from __future__ import annotations

import abc
import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import path
from unrollbit.problems.base import Subset
from unrollbit.problems.images import (
    assemble_tiles,
    image_shape,
    load_image,
    overlapping_tiles,
    shipped_file,
    sides,
)
from unrollbit.problems.random_crops import RandomCrops
from unrollbit.specs import Specified
from unrollbit.values import Value

SHIPPED: dict[str, tuple[str, ...]] = {
    "train": ("astronaut", "coins", "ihc", "moon", "motorcycle"),
    "validation": ("coffee",),
    "test": ("camera", "chelsea"),
}
_LARGEST_STRIDE = 32
_NAMED = 5  # images in a warning
_TILES = 2**14  # of training photographs whose crops are drawn at random

Size = int | tuple[int, int]
Crops = Literal["grid", "random"]


class Photographs(Value, Specified, abc.ABC):
    """Grey photographs of any sizes in three subsets that share none.

    Subclasses say which there are (``names``), read them, and know their sizes. They are values.
    """

    checks_types = False
    training_crops: ClassVar[Crops] = "random"  # unless a problem says otherwise

    @staticmethod
    def of(images: Any) -> Photographs:
        """Photographs of an argument: None for those of scikit-image, the path of a folder, a spec, or photographs.

        Raises ``ValueError`` for a folder without images and ``TypeError`` for anything else.
        """
        if images is None:
            return Shipped()
        if isinstance(images, Photographs):
            return images
        if isinstance(images, Mapping):
            return Photographs.from_spec({"kind": "ImageFolder", **images})
        return Photographs.registered["ImageFolder"](path("images", images))  # a kind, whose file imports this one

    @abc.abstractmethod
    def names(self, subset: Subset) -> tuple[str, ...]:
        """The photographs of a subset, in their order."""

    @abc.abstractmethod
    def read(self, name: str) -> Float[np.ndarray, "height width"]:
        """A photograph, float32 in [0, 1]. Raises ``ValueError`` for an unknown name."""

    def shape(self, name: str) -> tuple[int, int]:
        """Height and width of a photograph."""
        height, width = self.read(name).shape
        return height, width

    def argument(self) -> Any:
        """What ``Photographs.of`` makes this of, JSON-able: a path, a spec, or None."""
        return self.to_spec()

    def fitting(self, subset: Subset, size: Size) -> tuple[str, ...]:
        """The photographs of a subset that have a crop of this size; the others are named in a warning.

        Raises ``ValueError`` if none has one.
        """
        names, small = _fitting(self, subset, sides(size))
        listed = ", ".join(small[:_NAMED]) + (f" and {len(small) - _NAMED} more" if len(small) > _NAMED else "")
        wanted = "{} x {}".format(*sides(size))
        if not names:
            raise ValueError(f"size: all photographs of {subset} are smaller than {wanted} pixels: {listed}")
        if small:
            warnings.warn(f"left out, smaller than {wanted} pixels: {listed}", stacklevel=3)
        return names

    def crops(self, subset: Subset, size: Size, stride: Size | None = None) -> Float[np.ndarray, "count pixels"]:
        """Flat crops of the subset's photographs in their order, row by row, float32 in [0, 1].

        ``stride`` (pixels from crop to crop) is by default half a crop, at most 32 pixels, for training, whose crops
        overlap, and a whole crop for validation and test. Photographs smaller than a crop are left out with a warning.
        Raises ``ValueError`` if no crop is left.
        """
        self.fitting(subset, size)
        if stride is None:
            reach = tuple(max(1, min(side // 2, _LARGEST_STRIDE)) for side in sides(size))
            stride = (reach[0], reach[1]) if subset == "train" else size
        return _crops(self, subset, sides(size), sides(stride))

    def tiles(self, subset: Subset, size: Size) -> Float[np.ndarray, "count pixels"]:
        """Crops that do not overlap, evenly spread, at most some 16,384 of them; otherwise as ``crops``."""
        height, width = sides(size)
        shapes = [self.shape(name) for name in self.fitting(subset, size)]
        count, apart = math.inf, 0
        while count > _TILES:
            apart += 1
            count = sum(
                -(-(rows - height + 1) // (apart * height)) * -(-(columns - width + 1) // (apart * width))
                for rows, columns in shapes
            )
            if apart * min(height, width) >= max(map(max, shapes)):
                break
        return self.crops(subset, size, (apart * height, apart * width))

    def random_crops(self, subset: Subset, size: Size) -> RandomCrops:
        """``crops(key, count)`` draws crops of the subset on the device, inside a compiled loop if need be."""
        self.fitting(subset, size)
        return RandomCrops.of(_images(self, subset), sides(size))

    def place(self, subset: Subset, name: str, size: Size) -> tuple[int, int]:
        """Index of the first tile of a photograph among all of its subset, and the number of its tiles.

        Raises ``ValueError`` for a training subset, whose crops overlap, and a photograph of another subset.
        """
        names = self.names(subset)
        if subset == "train" or name not in names:
            tiled = {other: self.names(other) for other in ("validation", "test")}
            raise ValueError(f"image: expected one of {tiled} and that subset, got {name!r} of {subset!r}")
        height, width = sides(size)
        shapes = [self.shape(other) for other in names[: names.index(name) + 1]]
        counts = [(shape[0] // height) * (shape[1] // width) for shape in shapes]
        return sum(counts[:-1]), counts[-1]

    def assembled(self, tiles: Float[np.ndarray, "count h w"], name: str) -> Float[np.ndarray, "height width"]:
        """The photograph of these tiles. Raises ``ValueError`` if their number does not fit."""
        return assemble_tiles(tiles, self.shape(name))


@dataclass(frozen=True)
class Shipped(Photographs):
    """The photographs that an installed scikit-image carries: ``SHIPPED``."""

    training_crops: ClassVar[Crops] = "grid"  # few photographs, whose networks are compared

    def names(self, subset: Subset) -> tuple[str, ...]:
        return SHIPPED[subset]

    def read(self, name: str) -> Float[np.ndarray, "height width"]:
        return load_image(name)

    def shape(self, name: str) -> tuple[int, int]:
        return image_shape(shipped_file(name))

    def argument(self) -> None:
        return None


@functools.lru_cache(maxsize=1)
def _images(source: Photographs, subset: Subset) -> Sequence[Float[np.ndarray, "height width"]]:
    """The photographs of a subset: crops, random crops and what comes next need the same ones."""
    return [source.read(name) for name in source.names(subset)]


@functools.lru_cache(maxsize=16)
def _fitting(source: Photographs, subset: Subset, size: tuple[int, int]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fits = {name: all(map(int.__ge__, source.shape(name), size)) for name in source.names(subset)}
    return tuple(name for name in fits if fits[name]), tuple(name for name in fits if not fits[name])


@functools.lru_cache(maxsize=6)
def _crops(
    source: Photographs, subset: Subset, size: tuple[int, int], stride: tuple[int, int]
) -> Float[np.ndarray, "count pixels"]:
    pixels = size[0] * size[1]
    fitting = [image for image in _images(source, subset) if all(map(int.__ge__, image.shape, size))]
    found = np.concatenate([overlapping_tiles(image, size, stride).reshape(-1, pixels) for image in fitting])
    found.flags.writeable = False
    return found
