"""Random crops of images on the device, for training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from unrollbit.values import Value, pytree

_LARGEST = 2**31 - 1 - 2**10  # pixels, and places of crops: they are counted in int32
_DEVICES = 2**10  # that may share the pixels: unused ones at the end make their number divisible


@pytree
@dataclass(frozen=True)
class RandomCrops(Value):
    """``crops(key, count)``: crops at random places of images of any sizes, turned and mirrored at random.

    All places of all images are equally likely; crops are mirrored in either direction, and transposed if they are
    square. The pixels of all images lie in one array, one after the other, in 8 bits if that is exact and else in 16,
    so that drawing runs inside a compiled training loop. Made by ``RandomCrops.of``.

    Example:
        >>> import jax, numpy as np
        >>> images = [np.linspace(0, 1, 20 * 30).reshape(20, 30), np.zeros((8, 50))]
        >>> RandomCrops.of(images, (8, 16))(jax.random.key(0), 5).shape
        (5, 128)
    """

    pixels: UInt[Array, " total"]
    starts: Int[Array, " images"]
    widths: Int[Array, " images"]
    columns: Int[Array, " images"]
    places: Int[Array, " images"]
    shape: tuple[int, int] = field(metadata={"static": True})

    @classmethod
    def of(cls, images: Iterable[Float[np.ndarray, "height width"]], shape: tuple[int, int]) -> Self:
        """Crops of ``shape`` of grey images in [0, 1]; smaller images are left out.

        Raises ``ValueError`` if none is left, and for more than 2^31 pixels.
        """
        fitting = [image for image in images if image.shape[0] >= shape[0] and image.shape[1] >= shape[1]]
        if not fitting:
            raise ValueError(f"random crops: expected an image of at least {shape[0]} x {shape[1]} pixels, got none")
        sizes = np.array([image.shape for image in fitting], np.int64)
        rows, columns = (sizes - np.array(shape) + 1).T
        starts, places = np.cumsum(sizes.prod(1)) - sizes.prod(1), np.cumsum(rows * columns)
        if sizes.prod(1).sum() > _LARGEST:
            raise ValueError(
                f"random crops: {sizes.prod(1).sum():,} pixels are more than {_LARGEST:,}; take fewer images"
            )
        flat = np.concatenate([image.ravel() for image in fitting])
        pixels = np.round(flat * 255).astype(np.uint8)
        if not np.array_equal(pixels / np.float32(255), flat):
            pixels = np.round(flat * 65535).astype(np.uint16)
        pixels = np.pad(pixels, (0, -len(pixels) % _DEVICES))
        starts, widths, columns, places = (
            jnp.asarray(values, jnp.int32) for values in (starts, sizes[:, 1], columns, places)
        )
        return cls(jnp.asarray(pixels), starts, widths, columns, places, shape)

    def __call__(self, key: Array, count: int) -> Float[Array, "count n"]:
        """``count`` flat crops, float32 in [0, 1]; a function of ``key`` alone."""
        place_key, turn_key = jax.random.split(key)
        place = jax.random.randint(place_key, (count,), 0, self.places[-1], jnp.int32)
        image = jnp.searchsorted(self.places, place, side="right", method="compare_all").astype(jnp.int32)
        local = place - jnp.where(image > 0, self.places[image - 1], 0)
        row, column = local // self.columns[image], local % self.columns[image]
        down, right = self._turned(jax.random.bernoulli(turn_key, shape=(count, 3)))
        first = self.starts[image] + row * self.widths[image] + column
        index = first[:, None, None] + down * self.widths[image][:, None, None] + right
        crops = jnp.take(self.pixels, index.reshape(count, -1), mode="clip")
        return crops.astype(jnp.float32) / float(jnp.iinfo(self.pixels.dtype).max)

    def _turned(self, turns: Array) -> tuple[Array, Array]:
        """Row and column, inside a crop, of what lands in each pixel: (count, height, width)."""
        height, width = self.shape
        down, right = jnp.arange(height, dtype=jnp.int32)[:, None], jnp.arange(width, dtype=jnp.int32)[None]
        upside, mirrored, transposed = (turns[:, i, None, None] for i in range(3))
        down = jnp.where(upside, height - 1 - down, down)
        right = jnp.where(mirrored, width - 1 - right, right)
        if height != width:
            return down, right
        return jnp.where(transposed, right, down), jnp.where(transposed, down, right)
