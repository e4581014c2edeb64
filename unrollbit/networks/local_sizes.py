"""How far single samples of an estimate on a grid may be from the signal: maps that are known without the signal."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.networks.last_step import LastStep

_WINDOW = 9  # samples along each axis


def local_sizes(net: Any, y: Float[Array, "*batch m"]) -> tuple[LastStep, dict[str, Float[Array, "*batch n"]]]:
    """The last step of a network whose unknowns are samples on a grid (``net.signal_shape``), and root mean squares
    over windows of 9 samples along each axis, which grow with the errors of their middle: ``change`` of the last layer,
    and ``texture``, the differences of neighbours in the estimate.

    Raises ``ValueError`` where there is no grid.

    Example:
        >>> from unrollbit import Unrolled
        >>> from unrollbit.algorithms import ForwardBackward
        >>> from unrollbit.operators import Convolution
        >>> net = Unrolled(ForwardBackward(signal_shape=(8, 8)), Convolution.of([[0.5, 0.5]], (8, 8)), 2)
        >>> step, found = local_sizes(net, jnp.ones((3, 64)))
        >>> sorted(found), found["texture"].shape
        (['change', 'texture'], (3, 64))
    """
    if (shape := net.signal_shape) is None:
        raise ValueError("local_sizes: expected a network whose unknowns are samples on a grid, such as learned priors")
    step = net.last_step(y)
    squares = {"texture": _differences(step.x.reshape(*y.shape[:-1], *shape), len(shape))}
    if step.change is not None:
        squares["change"] = step.change.reshape(*y.shape[:-1], *shape) ** 2
    return step, {name: _spread(square, len(shape)).reshape(step.x.shape) for name, square in squares.items()}


def _differences(x: Array, axes: int) -> Array:
    """Squared central differences, summed over the axes."""
    return sum((jnp.gradient(x, axis=axis) ** 2 for axis in range(-axes, 0)), jnp.zeros(()))  # pyright: ignore


def _spread(squares: Array, axes: int) -> Array:
    """Roots of means over windows; the samples of the border are repeated."""
    lead = squares.ndim - axes
    half, window = _WINDOW // 2, (*(1,) * lead, *(_WINDOW,) * axes)
    padded = jnp.pad(squares, (*((0, 0),) * lead, *((half, half),) * axes), mode="edge")
    sums = jax.lax.reduce_window(padded, 0.0, jax.lax.add, window, (1,) * squares.ndim, "VALID")
    return jnp.sqrt(sums / math.prod(window))
