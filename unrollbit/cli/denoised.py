"""Photographs without their noise, plane by plane."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from unrollbit.cli.networks import image_problem_of
from unrollbit.cli.picture_files import Photograph
from unrollbit.cli.whole_images import Camera
from unrollbit.packed import PackedNetwork


def denoised(network: PackedNetwork, photograph: Photograph, path: Path) -> Photograph:
    """What the network makes of a noisy photograph: every plane is an image of its own.

    Raises ``ValueError`` for a network whose measurements are no noisy images.
    """
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
    found = np.asarray(network.with_physics(A, shape)(y)) + grey
    return photograph._replace(planes=found.reshape(-1, *shape))
