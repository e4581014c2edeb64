"""The patches around all places of a signal or image, and the transpose: adding patches up where they lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.kernels.linear import linear_pair

Edge = Literal["symmetric", "reflect", "circular", "zero"]
_MODES = {"symmetric": "symmetric", "reflect": "reflect", "circular": "wrap", "zero": "constant"}


def pads_of(kernel_shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """What is added before and after each axis, so that there are as many patches as places."""
    return [((taps - 1) // 2, taps // 2) for taps in kernel_shape]


def patches_of(
    x: Float[Array, "batch ..."], kernel_shape: tuple[int, ...], edge: Edge
) -> Float[Array, "batch taps ..."]:
    """``p[b, t, i] = x[b, i + t - c]``, ``c = (size - 1) // 2`` on each axis; beyond the border as ``edge`` says.

    ``symmetric`` mirrors the signal at its border (the last sample is repeated), ``reflect`` at its last sample,
    ``circular`` goes on periodically, ``zero`` is 0.
    """
    return _patches_p.bind(_padded(x, kernel_shape, edge), sides=x.shape[1:], kernel_shape=kernel_shape)


def folded(
    patches: Float[Array, "batch taps ..."], kernel_shape: tuple[int, ...], edge: Edge
) -> Float[Array, "batch ..."]:
    """The transpose of ``patches_of``."""
    sides = patches.shape[2:]
    padded = _folded_p.bind(patches, sides=sides, kernel_shape=kernel_shape)
    primal = jax.ShapeDtypeStruct((patches.shape[0], *sides), patches.dtype)
    return jax.linear_transpose(lambda x: _padded(x, kernel_shape, edge), primal)(padded)[0]


def border(side: int, taps: int, edge: Edge) -> np.ndarray:
    """Which sample each place of a padded axis repeats; -1 for zeros."""
    places = np.arange(side)
    pads = pads_of((taps,))
    return np.pad(places, pads, constant_values=-1) if edge == "zero" else np.pad(places, pads, mode=_MODES[edge])  # pyright: ignore[reportCallIssue, reportArgumentType]


def _padded(x: Array, kernel_shape: tuple[int, ...], edge: Edge) -> Array:
    return jnp.pad(x, [(0, 0), *pads_of(kernel_shape)], mode=_MODES[edge])


def _offsets(kernel_shape: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*map(range, kernel_shape))


# JAX would transpose each into 25 whole arrays that are added up; so each of the two names the other.
def _take(padded: Array, *, sides: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Array:
    lead = padded.ndim - len(sides)
    windows = [tuple(map(slice, t, np.add(t, sides))) for t in _offsets(kernel_shape)]
    return jnp.stack([padded[(..., *window)] for window in windows], axis=lead)


def _add(patches: Array, *, sides: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Array:
    lead = patches.ndim - len(sides) - 1
    parts = []
    for index, offset in enumerate(_offsets(kernel_shape)):
        pads = [(t, taps - 1 - t) for t, taps in zip(offset, kernel_shape, strict=True)]
        parts.append(jnp.pad(jnp.take(patches, index, axis=lead), [*((0, 0),) * lead, *pads]))
    return sum(parts[1:], parts[0])


_patches_p, _folded_p = linear_pair("patches", _take, _add)
