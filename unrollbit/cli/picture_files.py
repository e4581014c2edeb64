"""Photographs in files: their planes as numbers, and back."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps, UnidentifiedImageError

from unrollbit.cli.arguments import PHOTOGRAPHS
from unrollbit.packed.runtime import numbers_of
from unrollbit.problems.images import read_grey

_ALPHA = {"LA": "L", "RGBA": "RGB"}


class Photograph(NamedTuple):
    """Planes (1 grey, 3 colour) with pixels in [0, 1], the bits of a pixel in an image file, the opacity where the file
    has one, and whether the planes have an axis in a .npy file.
    """

    planes: Float[np.ndarray, "planes height width"]
    bits: int
    alpha: np.ndarray | None = None
    stacked: bool = True

    def array(self, planes: Float[np.ndarray, "planes height width"]) -> Float[np.ndarray, "*planes height width"]:
        """What a .npy file gets of planes of this photograph: nothing clipped or rounded."""
        return planes if self.stacked else planes[0]

    def image(self) -> Image.Image:
        """What is written: pixels clipped to [0, 1] and rounded to as many bits as were read."""
        largest = 2**self.bits - 1
        values = np.rint(np.clip(self.planes, 0, 1) * largest).astype(np.uint16 if self.bits == 16 else np.uint8)
        if len(values) == 1 and self.alpha is None:
            return Image.fromarray(values[0])
        planes = list(values) if self.alpha is None else [*values, self.alpha]
        return Image.fromarray(np.stack(planes, -1), "LA" if len(planes) == 2 else None)


def read_photograph(path: Path) -> Photograph:
    """A grey or colour photograph of 8 bits, or a grey one of 16, the right way up; or the floats of a .npy file, shape
    (height, width) or (planes, height, width), whose PNG has 16 bits where it is grey.

    Raises ``ValueError`` for what is no image, an image file of floats, and an array of other numbers or shape.
    """
    if path.suffix.lower() == ".npy":
        return _from_array(path)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
    except (UnidentifiedImageError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path}: expected a photograph (PNG, JPEG, TIFF), and it is not readable as one") from error
    if image.mode == "F":
        raise ValueError(f"{path}: expected a photograph of 8 or 16 bits, got one of floats")
    if image.mode.startswith("I"):  # one plane of 16 bits
        return Photograph(np.asarray(image, np.float32)[None] / np.float32(65535), 16, stacked=False)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("L", "RGB", *_ALPHA):
        image = image.convert("L" if image.mode == "1" else "RGB")
    pixels = np.asarray(image)
    planes = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    alpha = planes[-1] if image.mode in _ALPHA else None
    planes = planes[: len(planes) - (alpha is not None)].astype(np.float32) / np.float32(255)
    return Photograph(planes, 8, alpha, stacked=len(planes) > 1)


def _from_array(path: Path) -> Photograph:
    pixels = numbers_of(path, "the photograph")
    if pixels.dtype.kind != "f":
        raise ValueError(f"{path}: expected floats in the unit of the training ([0, 1]), got {pixels.dtype}")
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(f"{path}: expected shape (height, width) or (planes, height, width), got {pixels.shape}")
    if pixels.ndim == 3 and pixels.shape[-1] in (1, 3) and pixels.shape[0] not in (1, 3):
        raise ValueError(f"{path}: expected planes first, got shape {pixels.shape}; save numpy.moveaxis(x, -1, 0)")
    planes = pixels.astype(np.float32).reshape(-1, *pixels.shape[-2:])
    return Photograph(planes, 16 if len(planes) == 1 else 8, stacked=pixels.ndim == 3)


def photographs_in(folder: Path) -> dict[str, Float[np.ndarray, "height width"]]:
    """The grey photographs of a folder by the names of their files, colour as luminance.

    Raises ``ValueError`` for no folder, and one without photographs.
    """
    if not folder.is_dir():
        raise ValueError(f"--images: expected a folder of photographs, got {folder}")
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in PHOTOGRAPHS)
    if not files:
        raise ValueError(f"--images: no photographs in {folder}; expected files ending in {', '.join(PHOTOGRAPHS)}")
    return {file.name: read_grey(file) for file in files}
