"""Banks of small filters: many channels of one signal or image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.arrays import norm
from unrollbit.sizes import check_entries, check_signal_shape, positive_integer
from unrollbit.structures.base import Structure
from unrollbit.structures.full import Full
from unrollbit.structures.patches import Edge, folded, patches_of


@dataclass(frozen=True)
class FilterBank(Structure):
    """``channels`` correlations of a signal ``(n,)`` or an image ``(height, width)``, one below the other.

    ``z[c, i] = sum_t w[t, c] x[i + t - o]``, ``o = (size - 1) // 2`` on each axis: as many responses as places in each
    channel, the channels one after another. The transpose is exact: what the border repeats is added where it came
    from. The core is ``(*kernel_shape, channels)``: all places share the taps, which fit every size of signal.

    Args:
        signal_shape: sides of the signal.
        channels: number of filters.
        kernel_shape: taps of each filter.
        edge: the signal beyond its border: mirrored (``symmetric``: the last sample is repeated; ``reflect``: it is
            not), periodic (``circular``) or 0 (``zero``).

    Raises:
        ValueError: sides or taps that are no sizes, an unknown edge, filters larger than the signal.

    Example:
        >>> bank = FilterBank((8, 8), 24, (5, 5))
        >>> bank.size, bank.shape, bank.links
        (600, (1536, 64), 38400)
    """

    signal_shape: tuple[int, ...]
    channels: int
    kernel_shape: tuple[int, ...]
    edge: Edge = "symmetric"
    shared: ClassVar[bool] = True

    def __post_init__(self) -> None:
        sides, kernel = check_signal_shape(self.signal_shape), check_signal_shape(self.kernel_shape)
        object.__setattr__(self, "signal_shape", sides)
        object.__setattr__(self, "kernel_shape", kernel)
        object.__setattr__(self, "channels", positive_integer("channels", self.channels))
        if self.edge not in get_args(Edge):
            raise ValueError(f"edge: expected one of {', '.join(get_args(Edge))}, got {self.edge!r}")
        if len(kernel) != len(sides):
            raise ValueError(f"FilterBank: expected filters of {len(sides)} axes as the signal has, got {kernel}")
        if any(taps > side for taps, side in zip(kernel, sides, strict=True)):
            raise ValueError(f"FilterBank: filters of {kernel} taps do not fit into a signal of {sides}")
        positive_integer("channels", self.channels * math.prod(sides))

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.signal_shape)
        return self.channels * n, n

    @property
    def core_shape(self) -> tuple[int, ...]:
        return (*self.kernel_shape, self.channels)

    @property
    def size(self) -> int:
        """Number of taps of all filters."""
        return math.prod(self.core_shape)

    @property
    def links(self) -> int:
        """Every tap multiplies once at every place."""
        return self.size * math.prod(self.signal_shape)

    def _taps(self, core: Array) -> Array:
        return core.reshape(-1, self.channels)

    def matvec(self, core: Array, x: Array) -> Array:
        image, n = x.reshape(-1, *self.signal_shape), self.shape[1]
        patches = patches_of(image, self.kernel_shape, self.edge).reshape(-1, image.shape[0] * n)
        z = jnp.matmul(self._taps(core).T, patches, precision=jax.lax.Precision.HIGHEST)
        return jnp.moveaxis(z.reshape(-1, image.shape[0], n), 0, 1).reshape(*x.shape[:-1], self.shape[0])

    def rmatvec(self, core: Array, r: Array) -> Array:
        z = jnp.moveaxis(r.reshape(-1, self.channels, self.shape[1]), 1, 0)
        exact = jax.lax.Precision.HIGHEST
        patches = jnp.matmul(self._taps(core), z.reshape(self.channels, -1), precision=exact)
        image = folded(patches.reshape(-1, z.shape[1], *self.signal_shape), self.kernel_shape, self.edge)
        return image.reshape(*r.shape[:-1], self.shape[1])

    def scatter(self, core: Array) -> Array:
        check_entries("FilterBank", *self.shape)
        eye = jnp.eye(self.shape[1], dtype=core.dtype)
        return self._each(core, lambda own: self.matvec(own, eye).T)

    def gather(self, dense: Array) -> Array:
        """The nearest filters in the Frobenius norm, but for the border: means over the entries that share a tap."""
        taps = jnp.zeros(self.core_shape, dense.dtype)
        sums = jax.linear_transpose(self.scatter, taps)
        count = sums(jnp.ones(self.shape, dense.dtype))[0]
        cores = jax.vmap(lambda matrix: sums(matrix)[0])(dense.reshape(-1, *self.shape))
        return (cores / jnp.maximum(count, 1)).reshape(*dense.shape[:-2], *self.core_shape)

    def rows(self, v: Array) -> Array:
        raise ValueError("filters have no rows of their own; take a global or layer scale")

    def columns(self, v: Array) -> Array:
        raise ValueError("filters have no columns of their own; take a global or layer scale")

    def row_sum(self, core: Array) -> Array:
        return self._each(core, lambda own: self.matvec(own, jnp.ones(self.shape[1], own.dtype)))

    def column_sum(self, core: Array) -> Array:
        return self._each(core, lambda own: self.rmatvec(own, jnp.ones(self.shape[0], own.dtype)))

    def column_norms(self, core: Array) -> Array:
        """From the matrix: mirrored taps may meet in one entry."""
        return norm(self.scatter(core), axis=-2)

    def _each(self, core: Array, function: Callable[[Array], Array]) -> Array:
        """A function of single cores, over their leading axes."""
        lead = core.shape[: core.ndim - len(self.core_shape)]
        out = jax.vmap(function)(core.reshape(-1, *self.core_shape))
        return out.reshape(*lead, *out.shape[1:])

    @property
    def T(self) -> Structure:
        """All entries: nothing works on the transpose of a bank as a matrix of its own."""
        return Full(*reversed(self.shape))

    def gram(self) -> Structure:
        return Full(self.shape[1], self.shape[1])
