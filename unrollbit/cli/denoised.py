"""Photographs without their noise, plane by plane."""

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


class Denoised(NamedTuple):
    """A photograph without its noise, and the error bar of every pixel of its planes, where asked for."""

    photograph: Photograph
    error_bar: Float[np.ndarray, "planes height width"] | None


def denoised(network: PackedNetwork, photograph: Photograph, path: Path, *, error_bar: bool = False) -> Denoised:
    """What the network makes of a noisy photograph: every plane is an image of its own.

    Raises ``ValueError`` for a network whose measurements are no noisy images, or for one without error bars of pixels
    where they are asked for.
    """
    bar = network.error_bar("sample") if error_bar else None
    problem: Any = image_problem_of(network)
    A, shape = Camera(problem).physics(photograph.planes.shape[1:])
    probe = np.random.RandomState(0).standard_normal(A.shape[1]).astype(np.float32)
    if A.shape[0] != A.shape[1] or not np.allclose(A(jnp.asarray(probe)), probe, atol=1e-5):
        raise ValueError(
            f"{path}: a photograph is a measurement for networks that remove noise, and this one undoes "
            f"{type(A).__name__}; give it measurements in a .npy file"
        )
    grey = np.asarray(problem.with_physics(A).signal(jnp.zeros(A.shape[1])))
    y = jnp.asarray(photograph.planes.reshape(len(photograph.planes), -1) - grey)
    moved, bars = network.with_physics(A, shape), None
    if bar is None:
        x = moved(y)
    else:  # the maps look at windows, whatever the size of the photograph
        step, found = local_sizes(moved.network, y)
        x, bars = step.x, np.asarray(bar(found)).reshape(-1, *shape)
    return Denoised(photograph._replace(planes=(np.asarray(x) + grey).reshape(-1, *shape)), bars)
