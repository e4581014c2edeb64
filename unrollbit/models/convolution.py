"""The patches of a signal that a convolution of Flax multiplies."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx.nn.linear import canonicalize_padding
from jaxtyping import Array, Float


def patches(layer: nnx.Conv, x: Float[Array, "batch *sides features"]) -> Float[Array, "batch *outputs n"]:
    """What each output of a convolution multiplies: group by group, tap by tap, all its input features.

    The paddings, strides and dilations are Flax's: with ``kernel`` reshaped to ``(n, out)`` (one group), the layer is
    ``patches @ kernel + bias``.

    Example:
        >>> import jax.numpy as jnp
        >>> layer = nnx.Conv(1, 1, 3, padding="VALID", rngs=nnx.Rngs(0))
        >>> patches(layer, jnp.arange(4.0).reshape(1, 4, 1)).tolist()
        [[[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]]]
    """
    size = tuple(layer.kernel_size)
    strides, spread, apart = (
        _per_axis(v, len(size)) for v in (layer.strides, layer.input_dilation, layer.kernel_dilation)
    )
    reach = [(k - 1) * d + 1 for k, d in zip(size, apart, strict=True)]
    x = _padded(layer.padding, x, reach, strides, spread)
    counts = [(side - r) // s + 1 for side, r, s in zip(x.shape[1:-1], reach, strides, strict=True)]
    taps = []
    for tap in np.ndindex(*size):
        starts = [t * d for t, d in zip(tap, apart, strict=True)]
        stops = [a + (c - 1) * s + 1 for a, c, s in zip(starts, counts, strides, strict=True)]
        lines = tuple(slice(a, b, s) for a, b, s in zip(starts, stops, strides, strict=True))
        taps.append(x[(slice(None), *lines)])
    stacked = jnp.stack(taps, axis=-2)  # (batch, *outputs, taps, features)
    lead, groups = stacked.shape[:-1], layer.feature_group_count
    by_group = jnp.moveaxis(stacked.reshape(*lead, groups, -1), -2, -3)
    return by_group.reshape(*lead[:-1], -1)


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    value = 1 if value is None else value
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _padded(padding: Any, x: Array, reach: list[int], strides: tuple[int, ...], spread: tuple[int, ...]) -> Array:
    kind = canonicalize_padding(padding, len(reach))
    if kind in ("CIRCULAR", "REFLECT"):
        sides = [(0, 0), *(((r - 1) // 2, r // 2) for r in reach), (0, 0)]
        x, kind = jnp.pad(x, sides, mode="wrap" if kind == "CIRCULAR" else "reflect"), "VALID"
    elif kind == "CAUSAL":
        x, kind = jnp.pad(x, [(0, 0), (reach[0] - 1, 0), (0, 0)]), "VALID"
    sides = jax.lax.padtype_to_pads(x.shape[1:-1], reach, strides, kind) if isinstance(kind, str) else kind
    inner = [(low, high, s - 1) for (low, high), s in zip(sides, spread, strict=True)]
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *inner, (0, 0, 0)])
