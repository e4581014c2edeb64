"""The Radon transform: parallel-beam computed tomography."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, transpose_of
from unrollbit.operators.checks import set_field
from unrollbit.operators.structured import Structured
from unrollbit.sizes import LARGEST_SIDE, check_entries, positive_integer
from unrollbit.structures.rays import Rays, bilinear
from unrollbit.values import pytree

_SMALL = 2**22  # entries of a matrix that is formed to run many times


@pytree
@dataclass(frozen=True)
class Radon(LinearOperator):
    """Line integrals of a ``size x size`` image: ``size`` parallel rays in each of the directions ``angles`` (degrees).

    The image is turned by minus the angle about pixel ``size // 2`` of both axes, by bilinear interpolation with zeros
    outside, and its columns are summed: scikit-image's ``radon`` on the square. ``y`` is angle by angle, detector by
    detector. Matrix-free; the adjoint is the exact transpose (back-projection with the same weights).

    Raises ``ValueError`` for no angles, or NaN.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Radon.of(3, [0.0, 90.0])
        >>> A(jnp.arange(9.0)).round(4)  # sums of columns, sums of rows from below
        Array([ 9., 12., 15., 21., 12.,  3.], dtype=float32)
    """

    size: int = field(metadata={"static": True})
    angles: tuple[float, ...] = field(metadata={"static": True})

    def __post_init__(self) -> None:
        size = positive_integer("size", self.size, math.isqrt(LARGEST_SIDE))
        try:
            degrees = np.asarray(self.angles, np.float64)
        except (TypeError, ValueError):
            degrees = np.empty(0)
        if degrees.ndim != 1 or degrees.size == 0 or not np.isfinite(degrees).all():
            raise ValueError(f"angles: expected a number of angles or a list of finite degrees, got {self.angles!r}")
        positive_integer("angles", degrees.size, LARGEST_SIDE // size)
        set_field(self, "size", size)
        set_field(self, "angles", tuple(float(angle) for angle in degrees))

    @classmethod
    def of(cls, size: int, angles: int | Sequence[float]) -> Radon:
        """``angles``: degrees, or how many to spread evenly over [0, 180)."""
        if isinstance(angles, int | np.integer) and not isinstance(angles, bool):
            size = positive_integer("size", size, math.isqrt(LARGEST_SIDE))
            count = positive_integer("angles", angles, LARGEST_SIDE // size)
            angles = [180.0 * k / count for k in range(count)]
        return cls(size, angles)  # pyright: ignore[reportArgumentType]

    def resized(self, signal_shape: tuple[int, ...]) -> LinearOperator:
        """The same directions for square images of another size."""
        if len(set(signal_shape)) != 1 or len(signal_shape) != 2:
            return super().resized(signal_shape)
        return Radon(signal_shape[0], self.angles)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.angles) * self.size, self.size**2

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        dtype = jnp.promote_types(x.dtype, jnp.float32)
        image = x.astype(dtype).reshape(-1, self.size**2)

        def project(angle: Array) -> Array:
            places, weights = bilinear(self.size, angle)
            turned = jnp.sum(weights[:, None] * jnp.stack([image[:, place] for place in places]), axis=0)
            return turned.reshape(-1, self.size, self.size).sum(1)

        radians = jnp.asarray(np.deg2rad(self.angles), dtype)
        sinogram = jax.lax.map(project, radians)
        return jnp.moveaxis(sinogram, 0, 1).reshape(*x.shape[:-1], -1).astype(x.dtype)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._apply, self.shape[1], y)

    def dense(self) -> Float[Array, "m n"]:
        """From the interpolation's tables, in float64: a compiler would fold a transform of the identity for long."""
        check_entries("Radon", *self.shape)
        rows = [_angle(self, angle) for angle in np.deg2rad(self.angles)]
        return jnp.asarray(np.concatenate(rows), jnp.result_type(float))

    def column_norms(self) -> Float[Array, " n"]:
        """Angle by angle: the matrix is not formed."""
        return self.derived("column norms", lambda: jnp.sqrt(jnp.asarray(_column_energies(self))))

    def prepare(self) -> LinearOperator:
        """The matrix, where it is small (16 MiB): products are then ten times as fast."""
        m, n = self.shape
        return Structured(self.dense(), self.mask()) if m * n <= _SMALL else self

    def mask(self) -> Rays:
        return Rays(self.size, self.angles)


def _angle(operator: Radon, angle: float) -> Float[np.ndarray, "size n"]:
    """The rows of one angle."""
    places, weights = bilinear(operator.size, angle, np)
    detector = np.broadcast_to(np.arange(operator.size**2) % operator.size, places.shape)
    entries = np.zeros((operator.size, operator.size**2))
    np.add.at(entries, (detector, places), weights)
    return entries


def _column_energies(operator: Radon) -> Float[np.ndarray, " n"]:
    return np.sum([(_angle(operator, angle) ** 2).sum(0) for angle in np.deg2rad(operator.angles)], axis=0)


def filtered_back_projection(operator: Radon, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
    """The classic inverse, for angles spread over 180 degrees: every pixel is ``pi / (2 angles)`` times the sum over
    angles of the ramp-filtered projection at its place, interpolated linearly (0 outside); scikit-image's ``iradon``.

    The ramp is the transform of its band-limited kernel (Kak and Slaney 1988, eq. 61), on projections padded to twice
    their length or more. For ``Scaled`` projections divide ``y`` by the factor first.
    """
    size, count = operator.size, len(operator.angles)
    length = max(64, 1 << (2 * size - 1).bit_length())
    place = np.minimum(np.arange(length), length - np.arange(length))
    kernel = np.where(place == 0, 0.25, np.where(place % 2 == 1, -1.0 / (np.pi * np.maximum(place, 1)) ** 2, 0.0))
    ramp = jnp.asarray(2 * np.real(np.fft.fft(kernel))[: length // 2 + 1], y.dtype)
    projections = y.reshape(-1, count, size)
    filtered = jnp.fft.irfft(jnp.fft.rfft(projections, length) * ramp, length)[..., :size].astype(y.dtype)
    c, pixels = size // 2, np.arange(size) - size // 2

    def spread(total: Array, angle: tuple[Array, Array]) -> tuple[Array, None]:
        radians, projection = angle
        at = (c + jnp.cos(radians) * pixels[None, :] - jnp.sin(radians) * pixels[:, None]).ravel()
        left = jnp.floor(at)
        for place, weight in ((left, 1 - (at - left)), (left + 1, at - left)):
            inside = (at >= 0) & (at <= size - 1) & (place < size)
            total = total + jnp.where(inside, weight, 0) * projection[:, jnp.clip(place, 0, size - 1).astype(int)]
        return total, None

    radians = jnp.asarray(np.deg2rad(operator.angles), y.dtype)
    start = jnp.zeros((len(projections), size * size), y.dtype)
    total, _ = jax.lax.scan(spread, start, (radians, jnp.moveaxis(filtered, 1, 0)))
    return (math.pi / (2 * count) * total).reshape(*y.shape[:-1], size * size)
