"""Image files as grey images, those that an installed scikit-image carries in its wheel, and their tiles."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageOps

from unrollbit.arguments import choice

# Lossless files only: decoded values of a JPEG depend on the decoder's version.
FILES = {
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "chelsea": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "ihc": "ihc.png",
    "moon": "moon.png",
    "motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "phantom": "phantom.png",
    "text": "text.png",
}
ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
_ORIENTATION = 0x0112  # EXIF: 5 and more are turned by 90 degrees
_LUMINANCE = np.array([0.2125, 0.7154, 0.0721])  # ITU-R BT.709, as in skimage.color.rgb2gray


def load_image(name: str) -> Float[np.ndarray, "height width"]:
    """A grey image, float32 in [0, 1]; colour is turned into luminance, transparency dropped.

    Raises:
        ValueError: an unknown name.
        ModuleNotFoundError: scikit-image is not installed.
        FileNotFoundError: the installed scikit-image does not carry the file.

    Example:
        >>> load_image("camera").shape
        (512, 512)
    """
    return read_grey(shipped_file(name))


def shipped_file(name: str) -> Path:
    """The file of an image that scikit-image carries. Raises as ``load_image``."""
    file = _folder() / FILES[choice("image", name, FILES)]
    if not file.is_file():
        raise FileNotFoundError(
            f"the installed scikit-image does not carry {file.name}; upgrade it: scikit-image>=0.24"
        )
    return file


def read_grey(file: Path) -> Float[np.ndarray, "height width"]:
    """A PNG, JPEG or TIFF file of 8 or 16 bits as a grey image, float32 in [0, 1], the right way up.

    Colour is turned into luminance, transparency dropped. Raises ``ValueError`` for what is no such image.
    """
    pixels = _pixels(file)
    if pixels.dtype == bool or np.issubdtype(pixels.dtype, np.unsignedinteger):
        pixels = pixels / np.float64(1 if pixels.dtype == bool else np.iinfo(pixels.dtype).max)
    wrong = pixels.size == 0 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (2,), (3,), (4,))
    if wrong or not (pixels.min() >= 0 and pixels.max() <= 1):  # NaN compares false
        raise ValueError(
            f"{file}: expected one grey or colour image of 8 or 16 bits, or of floats in [0, 1]; got an array of "
            f"{pixels.dtype} and shape {pixels.shape}"
        )
    grey = pixels.reshape(*pixels.shape[:2], -1)
    return (grey[..., :3] @ _LUMINANCE if grey.shape[2] > 2 else grey[..., 0]).astype(np.float32)


def image_shape(file: Path) -> tuple[int, int]:
    """Height and width of an image, from the head of its file. Raises ``ValueError`` for what is no image."""
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(_ORIENTATION, 1) >= 5
            width, height = image.size[::-1] if turned else image.size
            return height, width
    except Exception:  # what Pillow cannot read may be read by others
        height, width = read_grey(file).shape
        return height, width


def _pixels(file: Path) -> np.ndarray:
    """The samples of an image as they are stored."""
    try:
        with Image.open(file) as image:
            if image.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
                image = image.convert("RGB")
            pixels = np.asarray(ImageOps.exif_transpose(image))
            return pixels.astype(np.uint16) if image.mode == "I" and pixels.max(initial=0) < 2**16 else pixels
    except Exception as error:  # Pillow has many
        if file.suffix.lower() in (".tif", ".tiff") and importlib.util.find_spec("tifffile") is not None:
            import tifffile  # comes with scikit-image: colour of 16 bits

            with contextlib.suppress(Exception):
                return tifffile.imread(file)
        raise ValueError(f"{file}: not a readable image ({error})") from error


def _folder() -> Path:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the test images come with scikit-image: pip install unrollbit[data]", name="skimage")
    return Path(found.submodule_search_locations[0]) / "data"


def overlapping_tiles(
    image: Float[np.ndarray, "height width"], size: int | tuple[int, int], stride: int | tuple[int, int]
) -> Float[np.ndarray, "count h w"]:
    """All patches of ``size`` (of a side, or height and width) at multiples of ``stride``, row by row.

    What does not fill a patch is left out. Raises ``ValueError`` if the image is smaller than one patch.
    """
    (height, width), (down, right) = sides(size), sides(stride)
    if image.shape[0] < height or image.shape[1] < width:
        name = f"{height}" if height == width else f"{height} x {width}"
        raise ValueError(f"size: patches of {name} pixels do not fit into an image of shape {image.shape}")
    windows = np.lib.stride_tricks.sliding_window_view(image, (height, width))[::down, ::right]
    return windows.reshape(-1, height, width)


def assemble_tiles(tiles: Float[np.ndarray, "count h w"], shape: tuple[int, int]) -> Float[np.ndarray, "height width"]:
    """Put non-overlapping tiles back: the inverse of ``overlapping_tiles(image, size, size)`` of an image of ``shape``.

    The result is cropped to whole tiles. Raises ``ValueError`` if their number does not fit ``shape``.
    """
    count, height, width = tiles.shape
    rows, columns = shape[0] // height, shape[1] // width
    if count != rows * columns:
        raise ValueError(f"tiles: expected {rows} x {columns} = {rows * columns} for an image of {shape}, got {count}")
    return tiles.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def sides(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of a size: one side of a square, or both."""
    return (size, size) if isinstance(size, int) else size
