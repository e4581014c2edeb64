"""Orthonormal Daubechies wavelets."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from itertools import pairwise

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from unrollbit.operators.banded import strided_correlate
from unrollbit.operators.base import LinearOperator, transpose_of
from unrollbit.operators.checks import set_field
from unrollbit.operators.norms import Norm
from unrollbit.sizes import check_signal_shape, positive_integer
from unrollbit.values import pytree

_NAMES = tuple(f"db{order}" for order in range(1, 9))


@pytree
@dataclass(frozen=True)
class Wavelet(LinearOperator):
    """Synthesis ``x = Psi c`` from Daubechies coefficients; ``Psi`` is orthogonal (periodic boundary), ``.T`` analyses.

    Signals ``(n,)`` or images ``(height, width)``, every side divisible by ``2**levels``. Coefficients run from coarse
    to fine: approximation, then the details of each level; for images each level has three subbands (details down the
    columns, along the rows, and both: PyWavelets' cH, cV, cD), each row by row. ``subbands()`` labels them.
    Equal to PyWavelets with ``mode="periodization"``.
    Reference: I. Daubechies, "Orthonormal bases of compactly supported wavelets", 1988.

    Example:
        >>> import jax.numpy as jnp
        >>> Psi = Wavelet.of(8, "db1", levels=2)
        >>> jnp.abs(Psi.T(jnp.ones(8))).round(5)
        Array([2., 2., 0., 0., 0., 0., 0., 0.], dtype=float32)
        >>> Psi.subbands().tolist()
        [0, 0, 1, 1, 2, 2, 2, 2]
    """

    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    name: str = field(metadata={"static": True})
    levels: int = field(metadata={"static": True})

    def __post_init__(self) -> None:
        sides = check_signal_shape(self.signal_shape)
        set_field(self, "signal_shape", sides)
        if self.name not in _NAMES:
            raise ValueError(f"wavelet: expected one of {', '.join(_NAMES)}, got {self.name!r}")
        most = min(map(_halvings, sides))
        if positive_integer("levels", self.levels, 64) > most:
            raise ValueError(
                f"levels: {self.levels} levels need sides divisible by {2**self.levels}, got {sides}: at most {most} "
                "levels; crop or pad the signal"
            )
        set_field(self, "levels", int(self.levels))

    @classmethod
    def of(cls, signal_shape: int | tuple[int, ...], name: str = "db4", levels: int | None = None) -> Wavelet:
        """``levels=None`` takes as many as keep the coarsest filter no longer than the signal.

        Raises ``ValueError`` for an unknown wavelet or a side that ``2**levels`` does not divide.
        """
        sides = check_signal_shape(signal_shape)
        if levels is None and name in _NAMES:
            fitting = min(side // (len(daubechies(name)) - 1) for side in sides).bit_length() - 1
            levels = max(1, min(*map(_halvings, sides), fitting))
        return cls(sides, name, levels)  # pyright: ignore[reportArgumentType]

    @property
    def shape(self) -> tuple[int, int]:
        n = math.prod(self.signal_shape)
        return n, n

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        return transpose_of(self._apply_adjoint, self.shape[0], x)

    def _apply_adjoint(self, y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
        approximation = y.reshape(*y.shape[:-1], *self.signal_shape)
        parts: list[Array] = []
        for _ in range(self.levels):
            approximation, *details = self._split(approximation)
            parts = [*(d.reshape(*y.shape[:-1], -1) for d in details), *parts]
        return jnp.concatenate([approximation.reshape(*y.shape[:-1], -1), *parts], -1)

    def _split(self, image: Array) -> list[Array]:
        """One level: the approximation and its details (1 or 3)."""
        low, high = _filter_last_axis(image, self.name)
        if len(self.signal_shape) == 1:
            return [low, high]
        quarters = [[q.mT for q in _filter_last_axis(half.mT, self.name)] for half in (low, high)]
        (approximation, horizontal), (vertical, diagonal) = quarters
        return [approximation, horizontal, vertical, diagonal]

    def subbands(self) -> Int[np.ndarray, " n"]:
        """The subband of each coefficient: 0 approximation, then 1, 2, ... coarse to fine (images: three a level)."""
        axes, n = len(self.signal_shape), math.prod(self.signal_shape)
        ends = [n >> (axes * level) for level in range(self.levels, -1, -1)]
        sizes = [ends[0]]
        for start, end in pairwise(ends):
            sizes += [start] * ((end - start) // start)
        return np.repeat(np.arange(len(sizes)), sizes)

    def norm(self) -> Norm:
        """1, exact."""
        return Norm(1.0, exact=True)

    def column_norms(self) -> Float[Array, " n"]:
        """1: orthonormal."""
        return jnp.ones(self.shape[1])

    @property
    def frame_constant(self) -> float:
        """1."""
        return 1.0


def _halvings(side: int) -> int:
    """How often a side can be halved."""
    return (side & -side).bit_length() - 1


def _filter_last_axis(x: Array, name: str) -> tuple[Array, Array]:
    """Low- and high-pass halves of the last axis."""
    low = daubechies(name)
    high = low[::-1] * (-1.0) ** np.arange(len(low))
    taps = jnp.asarray(np.stack([low, high]), x.dtype)
    halves = strided_correlate(x, taps, x.shape[-1] // 2, 1 - len(low) // 2, 2, True)
    return halves[..., 0, :], halves[..., 1, :]


@functools.lru_cache(maxsize=8)
def daubechies(name: str) -> Float[np.ndarray, " taps"]:
    """The ``2p`` scaling-filter coefficients of ``db<p>``, sum ``sqrt(2)``, by spectral factorisation.

    ``|H(w)|^2 = 2 cos(w/2)^(2p) P(sin(w/2)^2)`` with ``P(y) = sum_k binom(p-1+k, k) y^k``; of each pair of roots
    ``z, 1/z`` of ``P((2 - z - 1/z)/4)`` the one inside the unit circle is kept (minimal phase).
    """
    order = int(name.removeprefix("db"))
    taps = np.ones(1)
    for _ in range(order):
        taps = np.convolve(taps, [1.0, 1.0])
    for y in np.roots([math.comb(order - 1 + k, k) for k in range(order)][::-1]):
        centre = 1 - 2 * y
        root = centre + np.sqrt(centre**2 - 1 + 0j)
        taps = np.convolve(taps, [1.0, -(root if abs(root) < 1 else 1 / root)])
    taps = np.real(taps)
    taps *= math.sqrt(2) / taps.sum()
    taps.flags.writeable = False
    return taps
