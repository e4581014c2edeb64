"""The patches around all places of a signal or image, and the transpose: adding patches up where they lie."""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.kernels.linear import linear_pair

Edge = Literal["symmetric", "reflect", "circular", "zero"]
_MODES = {"symmetric": "symmetric", "reflect": "reflect", "circular": "wrap", "zero": "constant"}


def patches_of(
    x: Float[Array, "batch ..."], kernel_shape: tuple[int, ...], edge: Edge
) -> Float[Array, "taps batch ..."]:
    """``p[t, b, i] = x[b, i + t - c]``, ``c = (size - 1) // 2`` on each axis; beyond the border as ``edge`` says.

    ``symmetric`` mirrors the signal at its border (the last sample is repeated), ``reflect`` at its last sample,
    ``circular`` goes on periodically, ``zero`` is 0.
    """
    padded = _padded(x, kernel_shape, edge)
    return _patches_p.bind(padded, sides=x.shape[1:], kernel_shape=kernel_shape).reshape(-1, *x.shape)


def folded(
    patches: Float[Array, "taps batch ..."], kernel_shape: tuple[int, ...], edge: Edge
) -> Float[Array, "batch ..."]:
    """The transpose of ``patches_of``."""
    signal = patches.shape[1:]
    padded = _folded_p.bind(patches.reshape(*kernel_shape, *signal), sides=signal[1:], kernel_shape=kernel_shape)
    primal = jax.ShapeDtypeStruct(signal, patches.dtype)
    return jax.linear_transpose(lambda x: _padded(x, kernel_shape, edge), primal)(padded)[0]


def _padded(x: Array, kernel_shape: tuple[int, ...], edge: Edge) -> Array:
    """With what is needed before and after each axis for as many patches as places."""
    pads = [((taps - 1) // 2, taps // 2) for taps in kernel_shape]
    return jnp.pad(x, [(0, 0), *pads], mode=_MODES[edge])


# One axis after another, the last first: taps of the axes lead, then the batch. JAX would transpose each of the two
# into as many whole arrays as there are taps, so each names the other.
def _take(padded: Array, *, sides: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Array:
    lead = padded.ndim - len(sides) - 1  # axes that vmap adds stay first
    for axis, (side, taps) in enumerate(zip(sides[::-1], kernel_shape[::-1], strict=True), 1):
        windows = [jax.lax.slice_in_dim(padded, t, t + side, axis=padded.ndim - axis) for t in range(taps)]
        padded = jnp.stack(windows, axis=lead)
    return padded


def _add(patches: Array, *, sides: tuple[int, ...], kernel_shape: tuple[int, ...]) -> Array:
    lead = patches.ndim - 2 * len(sides) - 1
    for axis, taps in zip(range(len(sides), 0, -1), kernel_shape, strict=True):
        parts = []
        for t in range(taps):
            part = jax.lax.index_in_dim(patches, t, axis=lead, keepdims=False)
            pads = [(0, 0)] * part.ndim
            pads[-axis] = (t, taps - 1 - t)
            parts.append(jnp.pad(part, pads))
        patches = sum(parts[1:], parts[0])
    return patches


_patches_p, _folded_p = linear_pair("patches", _take, _add)
