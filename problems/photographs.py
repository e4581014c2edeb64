"""Where images come from: photographs that an installed scikit-image carries, or the user's folder of BSD500."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from unrollbit.arguments import path
from unrollbit.problems.base import Subset
from unrollbit.problems.images import assemble_tiles, load_image, overlapping_tiles, read_grey

SHIPPED: dict[str, tuple[str, ...]] = {
    "train": ("astronaut", "coins", "ihc", "moon", "motorcycle"),
    "validation": ("coffee",),
    "test": ("camera", "chelsea"),
}
BSD_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_ENDINGS = (".jpg", ".jpeg", ".png")
_LARGEST_STRIDE = 32


@dataclass(frozen=True)
class Photographs:
    """Grey photographs in three subsets that share none: ``SHIPPED`` by scikit-image, or those of a BSD500 ``folder``.

    BSD500 (Arbelaez et al. 2011) has its images in ``images/train``, ``images/val`` and ``images/test``; the folder may
    be the one that holds ``BSDS500/data``, ``data`` or ``images``. Colour is turned into luminance.
    """

    folder: str | None

    @classmethod
    def of(cls, folder: str | os.PathLike[str] | None) -> Photographs:
        """Raises ``ValueError`` for a folder that is not BSD500's, saying what was missing and where to get it."""
        if folder is None:
            return cls(None)
        root = Path(path("folder", folder))
        for inside in ("", "images", "data/images", "BSDS500/data/images", "BSR/BSDS500/data/images"):
            found = root / inside
            if all((found / name).is_dir() for name in BSD_FOLDERS.values()):
                empty = [name for name in BSD_FOLDERS.values() if not _files(found / name)]
                if empty:
                    raise ValueError(f"folder: {found / empty[0]} has no .jpg or .png images; unpack BSD500 again")
                return cls(str(found))
        state = "no such folder" if not root.is_dir() else "no images/train, images/val and images/test inside"
        raise ValueError(
            f"folder: {root}: {state}. Expected the Berkeley segmentation data set (BSDS500): unpack BSR_bsds500.tgz "
            "of the Berkeley Computer Vision Group, or leave folder out for the photographs that come with scikit-image"
        )

    def names(self, subset: str) -> tuple[str, ...]:
        """The photographs of a subset, in their order."""
        if self.folder is None:
            return SHIPPED[subset]
        return tuple(file.stem for file in _files(Path(self.folder) / BSD_FOLDERS[subset]))

    def read(self, name: str) -> Float[np.ndarray, "height width"]:
        """A photograph, float32 in [0, 1]. Raises ``ValueError`` for an unknown name."""
        if self.folder is None:
            return load_image(name)
        for inside in BSD_FOLDERS.values():
            for file in _files(Path(self.folder) / inside):
                if file.stem == name:
                    return read_grey(file)
        raise ValueError(f"image: no photograph {name!r} in {self.folder}")

    def crops(self, subset: Subset, size: int) -> Float[np.ndarray, "count size*size"]:
        """Flat square crops of the subset's photographs in their order, float32 in [0, 1].

        Training: overlapping, half a crop (at most 32 pixels) apart; validation and test: tiles that do not overlap.
        """
        stride = max(1, min(size // 2, _LARGEST_STRIDE)) if subset == "train" else size
        return _crops(self, subset, size, stride)

    def place(self, subset: str, name: str, size: int) -> tuple[int, int]:
        """Index of the first tile of a photograph among all of its subset, and the number of its tiles.

        Raises ``ValueError`` for a training subset, whose crops overlap, and a photograph of another subset.
        """
        names = self.names(subset)
        if subset == "train" or name not in names:
            tiled = {other: self.names(other) for other in ("validation", "test")}
            raise ValueError(f"image: expected one of {tiled} and that subset, got {name!r} of {subset!r}")
        shapes = [self.read(other).shape for other in names[: names.index(name) + 1]]
        counts = [(height // size) * (width // size) for height, width in shapes]
        return sum(counts[:-1]), counts[-1]

    def assembled(self, tiles: Float[np.ndarray, "count size size"], name: str) -> Float[np.ndarray, "height width"]:
        """The photograph of these tiles. Raises ``ValueError`` if their number does not fit."""
        height, width = self.read(name).shape
        return assemble_tiles(tiles, (height, width))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in _ENDINGS)


@functools.lru_cache(maxsize=6)
def _crops(source: Photographs, subset: str, size: int, stride: int) -> Float[np.ndarray, "count size*size"]:
    parts = [
        overlapping_tiles(source.read(name), size, stride).reshape(-1, size * size) for name in source.names(subset)
    ]
    found = np.concatenate(parts)
    found.flags.writeable = False
    return found
