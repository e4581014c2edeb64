"""Grey test images that an installed scikit-image carries in its wheel; nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from jaxtyping import Float

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
    file = _folder() / FILES[choice("image", name, FILES)]
    if not file.is_file():
        raise FileNotFoundError(
            f"the installed scikit-image does not carry {file.name}; upgrade it: scikit-image>=0.24"
        )
    return read_grey(file)


def read_grey(file: Path) -> Float[np.ndarray, "height width"]:
    """A PNG or JPEG file as a grey image, float32 in [0, 1]. Raises ``ValueError`` for what is no image."""
    from matplotlib.image import imread

    try:
        pixels = imread(file)
    except Exception as error:  # Pillow has many
        raise ValueError(f"{file}: not a readable image ({error})") from error
    largest = np.iinfo(pixels.dtype).max if np.issubdtype(pixels.dtype, np.integer) else 1  # PNG samples are scaled
    pixels = pixels.astype(np.float64) / largest
    grey = pixels if pixels.ndim == 2 else pixels[..., :3] @ _LUMINANCE
    return grey.astype(np.float32)


def _folder() -> Path:
    found = importlib.util.find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("the test images come with scikit-image: pip install unrollbit[data]", name="skimage")
    return Path(found.submodule_search_locations[0]) / "data"


def overlapping_tiles(
    image: Float[np.ndarray, "height width"], size: int, stride: int
) -> Float[np.ndarray, "count size size"]:
    """All ``size x size`` patches at multiples of ``stride``, row by row; what does not fill a patch is left out.

    Raises ``ValueError`` if the image is smaller than one patch.
    """
    if min(image.shape) < size:
        raise ValueError(f"size: patches of {size} pixels do not fit into an image of shape {image.shape}")
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))[::stride, ::stride]
    return windows.reshape(-1, size, size)


def assemble_tiles(
    tiles: Float[np.ndarray, "count size size"], shape: tuple[int, int]
) -> Float[np.ndarray, "height width"]:
    """Put non-overlapping tiles back: the inverse of ``overlapping_tiles(image, size, size)`` of an image of ``shape``.

    The result is cropped to whole tiles. Raises ``ValueError`` if their number does not fit ``shape``.
    """
    count, size, _ = tiles.shape
    rows, columns = shape[0] // size, shape[1] // size
    if count != rows * columns:
        raise ValueError(f"tiles: expected {rows} x {columns} = {rows * columns} for an image of {shape}, got {count}")
    return tiles.reshape(rows, columns, size, size).swapaxes(1, 2).reshape(rows * size, columns * size)
