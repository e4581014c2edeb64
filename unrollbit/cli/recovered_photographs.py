"""Photographs without their noise or blur, plane by plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from unrollbit.cli.networks import image_problem_of
from unrollbit.cli.picture_files import Photograph
from unrollbit.cli.whole_images import Camera
from unrollbit.networks import local_sizes
from unrollbit.packed import PackedNetwork


class Recovered(NamedTuple):
    """A photograph, and the error bar of every pixel of its planes, where asked for."""

    photograph: Photograph
    error_bar: Float[np.ndarray, "planes height width"] | None


def recovered_photograph(
    network: PackedNetwork, photograph: Photograph, path: Path, *, error_bar: bool = False
) -> Recovered:
    """What the network makes of a noisy or blurred photograph: every plane is an image of its own.

    Where the physics continues a picture periodically the photograph is mirrored at its borders first, by
    ``A.margin`` pixels: what lies beyond them in the world is not its other side.

    Raises ``ValueError`` for a network whose measurements are no pictures of the same size, or for one without error
    bars of pixels where they are asked for.
    """
    bar = network.error_bar("sample") if error_bar else None
    problem: Any = image_problem_of(network)
    planes = photograph.planes
    camera = Camera(problem)
    margin = problem.operator.margin or (0, 0)
    around = [min(pixels, side) for pixels, side in zip(margin, planes.shape[1:], strict=True)]
    pads = [(0, 0), *((pixels, pixels) for pixels in around)]
    wider = np.pad(planes, pads, "symmetric")
    A, shape = camera.physics(wider.shape[1:])
    if A.measured_shape != wider.shape[1:] or shape != wider.shape[1:]:
        raise ValueError(
            f"{path}: a photograph is a measurement for networks that remove noise or a blur, and this one undoes "
            f"{type(A).__name__}; give it measurements, rows of m = {network.network.operator.shape[0]}, in a .npy file"
        )
    at = problem.with_physics(A)
    grey = np.asarray(at.signal(jnp.zeros(A.shape[1])))
    y = jnp.asarray(wider.reshape(len(wider), -1)) - A(jnp.asarray(grey))
    moved, bars = network.with_physics(A, shape), None
    if bar is None:
        x = moved(y)
    else:  # the maps look at windows, whatever the size of the photograph
        step, found = local_sizes(moved.network, y)
        x, bars = step.x, _inside(np.asarray(bar(found)).reshape(-1, *shape), pads)
    pixels = _inside((np.asarray(x) + grey).reshape(-1, *shape), pads)
    return Recovered(photograph._replace(planes=pixels), bars)


def _inside(planes: np.ndarray, pads: list[tuple[int, int]]) -> np.ndarray:
    """Without what was added around."""
    return planes[tuple(slice(low, planes.shape[axis] - high) for axis, (low, high) in enumerate(pads))]
