"""Influence functions: the derivatives of potentials of filter responses, with their learned tables."""

from __future__ import annotations

import abc
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.kernels.linear import linear_pair
from unrollbit.pytrees import known, register_numbers
from unrollbit.scalars import Constraint, ScalarSpec, Width
from unrollbit.shrinkage.base import Scalars
from unrollbit.specs import Specified

Responses = Float[Array, "*batch channels places"]
Sharing = Literal["none", "knots", "all"]
Table = np.ndarray | Array


class Influence(Specified, abc.ABC):
    """``phi_c(z)`` of the responses z of filter c: the derivative of a potential ``rho_c``.

    The prior of an image x with filters K is the energy ``sum_ci rho_c((K x)_ci)``, its gradient ``K^T phi(K x)``
    (fields of experts, Roth and Black 2005). Subclasses are frozen dataclasses and pytrees whose ``float`` fields are
    leaves.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register_numbers(cls)

    @property
    def rises(self) -> bool:
        """Whether no slope can be negative, whatever the scalars: the potential is convex."""
        return False

    @abc.abstractmethod
    def scalars(self, weight: float | Array, channels: int) -> dict[str, ScalarSpec]:
        """Declare the learned tables for so many filters; ``weight`` multiplies the function."""

    @abc.abstractmethod
    def __call__(self, z: Responses, scalars: Scalars) -> Responses:
        """``phi(z)``; same shape and dtype."""

    @abc.abstractmethod
    def potential(self, z: Responses) -> Responses:
        """``rho(z)`` with the function's own numbers and weight 1, 0 at 0."""

    @abc.abstractmethod
    def steepest(self) -> Any:
        """The largest slope of the function with its own numbers and weight 1."""

    def slopes_between(self, scalars: Mapping[str, Table], channels: int) -> tuple[Table, Table] | None:
        """The smallest and the largest slope of every filter in every layer, (K, C); None where they are not known.

        Of NumPy arrays in their dtype, or of JAX arrays, traced ones too.
        """
        del scalars, channels
        return None


@dataclass(frozen=True)
class Clips(Influence):
    """``phi_c(z) = sum_j a_cj clip(z, -t_cj, t_cj)``: any odd piecewise linear function with these knots.

    Its potential is a sum of Huber functions; slopes of both signs make it non-convex, as the statistics of images
    are. One clip of slope ``1/t`` is the derivative of ``|z|``, smoothed within t: total variation with difference
    filters.

    Scalars: ``slopes`` (``C a`` for C filters, so that one learning rate fits all counts; free) and ``knots`` (t > 0),
    tables (J, C); ``shared`` says which of them all filters of a layer have in common, (J,). Both are stored in
    ``bits`` (16, or 8 with a step per row) of their raw values.

    Args:
        knots: t, increasing; at the start the same for all filters.
        slopes: a, at the start.
        shared: "none", "knots" or "all".
        bits: 32, 16 or 8.

    Raises:
        ValueError: knots that do not increase from above 0, another number of slopes, an unknown width or sharing.

    Source: Chen and Pock, "Trainable nonlinear reaction diffusion", IEEE PAMI 39 (2017), with clips in place of
    Gaussian bases.

    Example:
        >>> import jax.numpy as jnp
        >>> clips = Clips(knots=(1.0, 2.0), slopes=(2.0, -0.5))
        >>> tables = {name: jnp.asarray(spec.initial_values(1)[0]) for name, spec in clips.scalars(1.0, 1).items()}
        >>> clips(jnp.array([[0.5, 1.0, 3.0]]), tables)
        Array([[0.75, 1.5 , 1.  ]], dtype=float32)
    """

    knots: tuple[float, ...] = (0.015, 0.04, 0.1, 0.25)
    slopes: tuple[float, ...] = (0.0, 0.6, 0.0, 0.0)
    shared: Sharing = "none"
    bits: Width = 16
    sign: ClassVar[Constraint] = "free"

    @property
    def rises(self) -> bool:
        return self.sign == "positive"

    def __post_init__(self) -> None:
        if not self.knots or len(self.knots) != len(self.slopes):
            raise ValueError(f"{type(self).__name__}: expected a slope for each of {len(self.knots)} knots, at least 1")
        if known(*self.knots) and not all(a < b < math.inf for a, b in itertools.pairwise((0.0, *self.knots))):
            raise ValueError(f"knots: expected finite, increasing numbers > 0, got {self.knots}")
        if known(*self.slopes) and not all(map(math.isfinite, self.slopes)):
            raise ValueError(f"slopes: expected finite numbers, got {self.slopes}")

    def scalars(self, weight: float | Array, channels: int) -> dict[str, ScalarSpec]:
        J = len(self.knots)
        slopes, knots = (
            (J,) if self.shared == "all" else (J, channels),
            (J,) if self.shared != "none" else (J, channels),
        )
        sizes = [channels * weight * a for a in self.slopes]
        return {
            "slopes": ScalarSpec(_table(sizes, slopes), self.sign, slopes, self.bits),
            "knots": ScalarSpec(_table(self.knots, knots), "positive", knots, self.bits),
        }

    def __call__(self, z: Responses, scalars: Scalars) -> Responses:
        channels = z.shape[-2]
        phi = jnp.zeros((), z.dtype)
        for j in range(len(self.knots)):
            t, a = (_spread(scalars[name][j], z) for name in ("knots", "slopes"))
            phi = phi + a * _clip(z, t)
        return phi / channels

    def potential(self, z: Responses) -> Responses:
        size, rho = jnp.abs(z), jnp.zeros_like(z)
        for t, a in zip(self.knots, self.slopes, strict=True):
            rho = rho + a * jnp.where(size <= t, size * size / 2, t * (size - t / 2))
        return rho

    def slopes_between(self, scalars: Mapping[str, Table], channels: int) -> tuple[Table, Table]:
        tables = [scalars[name] for name in ("knots", "slopes")]
        xp: Any = tables[0].__array_namespace__()
        knots, slopes = (
            xp.broadcast_to(table.reshape(*table.shape[:2], -1), (*table.shape[:2], channels)) for table in tables
        )
        inwards = xp.argsort(-knots, axis=1, stable=True)  # a clip is flat beyond its knot
        sums = xp.cumsum(xp.take_along_axis(slopes, inwards, axis=1), axis=1) / channels
        return xp.minimum(sums.min(axis=1), 0.0), xp.maximum(sums.max(axis=1), 0.0)

    def steepest(self) -> Any:
        """The largest partial sum of the slopes, from the largest knot inwards: a clip is flat beyond its own."""
        total, largest = 0.0, 0.0
        for slope in reversed(self.slopes):
            total = total + slope
            largest = max(largest, total) if known(total, largest) else jnp.maximum(largest, total)
        return largest


@dataclass(frozen=True)
class MonotoneClips(Clips):
    """``Clips`` whose slopes are positive: the potential is convex, and a step is one of a convex energy.

    Slopes are held as logarithms, so all of them start above 0.

    Example:
        >>> MonotoneClips(knots=(1.0,), slopes=(0.5,)).steepest()
        0.5
    """

    slopes: tuple[float, ...] = (0.05, 0.45, 0.05, 0.05)
    sign: ClassVar[Constraint] = "positive"

    def __post_init__(self) -> None:
        super().__post_init__()
        if known(*self.slopes) and min(self.slopes) <= 0:
            raise ValueError(f"slopes: expected numbers > 0, got {self.slopes}; Clips takes any")


def _table(values: Sequence[Any], shape: tuple[int, ...]) -> Any:
    """Initial values (J,) for all layers, and for each filter where the shape is (J, C)."""
    row = jnp.stack([jnp.asarray(value) for value in values]) if not known(*values) else np.asarray(values, np.float64)
    table = row.reshape(len(values), *(1,) * (len(shape) - 1))
    return (lambda depth: np.broadcast_to(table, (depth, *shape))) if known(*values) else table


@jax.custom_jvp
def _clip(z: Array, t: Array) -> Array:
    """``clip(z, -t, t)``; at the border with the derivative of the outside, rather than halves of both."""
    return jnp.clip(z, -t, t)


@_clip.defjvp
def _clip_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    (z, t), (dz, dt) = primals, tangents
    return _clip(z, t), jnp.where(jnp.abs(z) < t, dz, jnp.sign(z) * dt)


def _spread(row: Float[Array, "*channels"], z: Responses) -> Array:
    """A number of each filter (or one for all) at every place."""
    row = row if row.ndim else jnp.broadcast_to(row, z.shape[-2:-1])
    return _repeated_p.bind(row, batch=z.shape[:-2], places=z.shape[-1])


def _repeat(row: Array, *, batch: tuple[int, ...], places: int) -> Array:
    lead = row.ndim - 1
    row = jnp.expand_dims(row, (*range(lead, lead + len(batch)), lead + len(batch) + 1))
    return jnp.broadcast_to(row, (*row.shape[:lead], *batch, row.shape[-2], places))


def _add(g: Array, *, batch: tuple[int, ...], places: int) -> Array:
    """By a product with ones: sums over places are several times slower in XLA for CPUs."""
    lead = g.ndim - 2 - len(batch)
    g = jnp.moveaxis(g, -2, lead)  # the layout of a bank's responses: channels, batch, places
    flat = g.reshape(*g.shape[: lead + 1], -1)
    return flat @ jnp.ones(flat.shape[-1], g.dtype)


_repeated_p, _ = linear_pair("repeated", _repeat, _add)


def responses(z: Float[Array, "*batch m"], channels: int) -> Responses:
    """Responses of a filter bank, one row for each filter."""
    return z.reshape(*z.shape[:-1], channels, -1)
