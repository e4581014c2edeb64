"""Photographs of any size through a packed network that removes noise or a blur."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from unrollbit.arguments import instance, shown
from unrollbit.networks import local_sizes
from unrollbit.operators import LinearOperator
from unrollbit.packed import PackedNetwork
from unrollbit.packed.error_bar import Recovered
from unrollbit.problems.base import Problem

__all__ = ["image_problem_of", "recover_photograph"]


def recover_photograph(
    network: PackedNetwork, pixels: Float[Any, "*planes height width"], *, error_bar: bool = False
) -> Float[np.ndarray, "*planes height width"] | Recovered:
    """A photograph without its noise or blur, of any size: pixels in, pixels out, every plane an image of its own.

    Where the physics continues a picture periodically (``Convolution``), the photograph is continued first, by
    ``A.margin`` on each side, and cut out again: what lies beyond a border in the world is not the other side. A border
    goes over smoothly into the opposite one, since an edge between them would ring far into the picture. The outermost
    pixels, as many as the kernel has, know less than those inside.

    Args:
        network: ``load(file)``, of a file that carries its problem: ``pack(network, problem=problem)``.
        pixels: shape (height, width) or (planes, height, width), in the unit of the training, [0, 1] for photographs.
        error_bar: also the error bar of every pixel, for a file of ``unrollbit calibrate``.

    Returns the pixels (float32), or ``Recovered(x, error_bar)`` of both. Raises ``TypeError`` for what is no packed
    network, and ``ValueError`` for pixels of another shape or that are not finite, a network whose measurements are no
    pictures of the same size, a file without a problem or without error bars of pixels where they are asked for.

    Example:
        >>> from unrollbit import Unrolled, pack
        >>> from unrollbit.algorithms import ForwardBackward
        >>> from unrollbit.operators import Convolution
        >>> from unrollbit.problems import ImageRecovery
        >>> problem = ImageRecovery(Convolution.of(np.ones((3, 5)) / 15, (16, 16)), size=16)
        >>> packed = pack(Unrolled(ForwardBackward(signal_shape=(16, 16)), problem, 2), problem=problem)
        >>> recover_photograph(packed, np.full((60, 80), 0.5)).shape
        (60, 80)
    """
    instance("network", network, PackedNetwork, "load(file)")
    planes = _planes(pixels)
    bar = network.error_bar("sample") if error_bar else None
    problem: Any = image_problem_of(network)
    _physics_for(problem.operator, planes.shape[1:])  # refused before anything is asked of its margin
    margin = problem.operator.margin or (0, 0)
    around = [min(reach, side) for reach, side in zip(margin, planes.shape[1:], strict=True)]
    wider = planes
    for axis, reach in zip((-2, -1), around, strict=True):
        wider = _continued(wider, axis, reach)
    at = problem.with_physics(_physics_for(problem.operator, wider.shape[1:]))
    A, shape = at.operator, wider.shape[1:]
    grey = np.asarray(at.signal(jnp.zeros(A.shape[1])))
    y = jnp.asarray(wider.reshape(len(wider), -1)) - A(jnp.asarray(grey))
    moved = network.with_physics(A, shape)

    def inside(rows: Any) -> np.ndarray:
        pieces = np.asarray(rows).reshape(-1, *shape)
        (top, left), (height, width) = around, planes.shape[1:]
        return pieces[:, top : top + height, left : left + width].reshape(np.shape(pixels))

    if bar is None:
        return inside(np.asarray(moved(y)) + grey)
    step, found = local_sizes(moved.network, y)  # the maps look at windows, whatever the size of the photograph
    return Recovered(inside(np.asarray(step.x) + grey), inside(bar(found)))  # pyright: ignore[reportArgumentType]


def image_problem_of(network: PackedNetwork, sigma: float | None = None) -> Problem:
    """The problem of a network for images with other photographs than those of training, which need not be at hand:
    its physics, as the file holds it, and its noise; signals are those that come with scikit-image.

    ``sigma``: Gaussian noise of this standard deviation in place of the problem's. Raises ``ValueError`` if the file
    carries no problem, or one of arrays, of which it is not known what a pixel is.
    """
    if network.problem is None:
        raise ValueError("this file carries no problem, so its noise is not known; save with pack(net, problem=...)")
    kind = Problem.kinds.get(network.problem["kind"], Problem)
    if kind.data_arguments and "images" not in kind.data_arguments:
        raise ValueError(
            "network: expected one of a problem of images (ImageRecovery, Deblurring, ...), whose pixels are known; "
            f"this file is of {network.problem['kind']}; apply it to measurements as load(file)(y)"
        )
    spec = {name: value for name, value in network.problem.items() if name not in kind.data_arguments}
    if sigma is not None:
        spec = {name: value for name, value in spec.items() if name not in ("noise", "snr_db", "photons")}
        spec["noise"] = {"kind": "Gaussian", "sigma": sigma}
    return Problem.from_spec(spec, operator=network.network.operator)


def _continued(planes: np.ndarray, axis: int, reach: int) -> np.ndarray:
    """Pictures with ``reach`` more pixels at both ends of an axis, which lead from one border to the opposite one."""
    at = (np.arange(2 * reach, dtype=np.float32) + 1) / (2 * reach + 1)
    share = np.moveaxis((at**2 * (3 - 2 * at))[:, None, None], 0, axis)
    first, last = np.take(planes, [0], axis), np.take(planes, [-1], axis)
    after, before = np.split((1 - share) * last + share * first, 2, axis)
    return np.concatenate([before, planes, after], axis)


def _planes(pixels: Any) -> np.ndarray:
    """``pixels`` as float32 of shape (planes, height, width)."""
    array = np.asarray(pixels)
    if array.dtype.kind != "f" or array.ndim not in (2, 3) or not array.size or not np.isfinite(array).all():
        raise ValueError(
            "pixels: expected finite floats of shape (height, width) or (planes, height, width), of 8 bits as "
            f"pixels / 255.0, got {array.dtype} of shape {array.shape}: {shown(pixels)}"
        )
    if array.ndim == 3 and array.shape[2] <= 4 < array.shape[0]:
        raise ValueError(
            f"pixels: expected planes first, (planes, height, width), got {array.shape}; np.moveaxis(pixels, -1, 0)"
        )
    return array.reshape(-1, *array.shape[-2:]).astype(np.float32)


def _physics_for(A: LinearOperator, shape: tuple[int, ...]) -> LinearOperator:
    """The physics for pictures of this shape."""
    try:
        wider = A.resized(shape)
        fits = A.fitting(shape) == shape and wider.measured_shape == shape
    except ValueError:
        wider, fits = A, False
    if not fits:
        raise ValueError(
            f"a photograph is a measurement for networks that remove noise or a blur at its own resolution, and this "
            f"one undoes {A}; give it measurements, rows of m = {A.shape[0]}, in Python load(file)(y), in a .npy file"
        )
    return wider
