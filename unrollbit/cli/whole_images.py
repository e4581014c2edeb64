"""Whole photographs of any size: measured as a problem says, in one piece or in tiles, and judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.metrics import SSIM_WINDOW, psnr_db, ssim
from unrollbit.operators import LinearOperator
from unrollbit.problems.images import assemble_tiles, overlapping_tiles


class Measured(NamedTuple):
    """A photograph as it was measured: whole or in tiles, padded where its sides do not fit.

    ``problem`` has the physics of one piece; ``x`` and ``y`` are unknowns and measurements, a row for each of the
    ``tiles`` (rows, columns) of ``shape`` pixels.
    """

    problem: Any
    x: Float[Array, "count n"]
    y: Float[Array, "count m"]
    shape: tuple[int, int]
    tiles: tuple[int, int]
    pixels: Float[np.ndarray, "height width"]

    def assembled(self, x: Float[Array, "count n"] | np.ndarray) -> Float[np.ndarray, "height width"]:
        """The photograph of unknowns ``x``, without what was padded, clipped to [0, 1]."""
        (rows, columns), (height, width) = self.tiles, self.shape
        parts = np.asarray(self.problem.signal(jnp.asarray(x))).reshape(-1, height, width)
        whole = assemble_tiles(parts, (rows * height, columns * width))
        return np.clip(whole[: self.pixels.shape[0], : self.pixels.shape[1]], 0, 1)


class Camera:
    """Measures photographs (pixels in [0, 1]) as a problem of images does: whole where its physics has a form for their
    size, else in tiles of the problem's size; mirrored at the border up to whole blocks or tiles.

    Raises ``ValueError`` for a problem whose unknowns are no pixels.
    """

    def __init__(self, problem: Any) -> None:
        self._problem = problem
        if len(problem.signal_shape or ()) != 2:
            raise ValueError(
                'images: expected a network for a problem whose unknowns are pixels (transform = "none"), got one of '
                f"{problem}"
            )

    def physics(self, shape: tuple[int, int]) -> tuple[LinearOperator, tuple[int, int]]:
        """What measures a piece of a photograph of this shape, and the shape of the piece."""
        A = self._problem.operator
        try:
            whole = A.fitting(shape)
            return A.resized(whole), (whole[0], whole[1])
        except ValueError:
            return A, self._problem.signal_shape

    def __call__(self, pixels: Float[np.ndarray, "height width"], key: Array) -> Measured:
        """A photograph measured with noise of this key."""
        A, shape = self.physics((pixels.shape[0], pixels.shape[1]))
        rows, columns = (-(-side // part) for side, part in zip(pixels.shape, shape, strict=True))
        pads = [(0, rows * shape[0] - pixels.shape[0]), (0, columns * shape[1] - pixels.shape[1])]
        parts = overlapping_tiles(np.pad(pixels, pads, "symmetric"), shape, shape)
        problem = self._problem.with_physics(A)
        x = jnp.asarray(parts.reshape(rows * columns, -1) - problem.signal(jnp.zeros(A.shape[1])), jnp.float32)
        return Measured(problem, x, problem.measured(x, key), shape, (rows, columns), pixels)


def picture_row(name: str, estimate: np.ndarray, pixels: np.ndarray) -> dict[str, Any]:
    """Figures of one photograph; SSIM is None for one smaller than its window."""
    flat, truth = (jnp.asarray(image.ravel(), jnp.float32) for image in (estimate, pixels))
    similar = None if min(pixels.shape) < SSIM_WINDOW else float(ssim(flat, truth, pixels.shape))
    height, width = pixels.shape
    return {"image": name, "height": height, "width": width, "psnr_db": float(psnr_db(flat, truth)), "ssim": similar}


def summary(rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Of the rows of photographs: the mean PSNR and SSIM, and the PSNR of the mean squared error."""
    rows = list(rows)
    errors = [10 ** (-row["psnr_db"] / 10) for row in rows]
    similar = [row["ssim"] for row in rows if row["ssim"] is not None]
    return {
        "psnr_db": float(np.mean([row["psnr_db"] for row in rows])),
        "psnr_db_of_mean_error": float(-10 * np.log10(np.mean(errors))),
        "ssim": float(np.mean(similar)) if similar else None,
    }


def timed(recover: Callable[[Array], Array], y: Array) -> tuple[np.ndarray, float]:
    """What ``recover`` makes of measurements, and the milliseconds that it takes."""
    begun = time.perf_counter()
    estimate = jax.block_until_ready(recover(y))
    return np.asarray(estimate), 1000 * (time.perf_counter() - begun)
