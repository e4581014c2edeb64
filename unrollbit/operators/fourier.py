"""Partial Fourier and cosine transforms."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import jax.scipy.fft
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator, Norm, Spec, check_seed, check_signal_shape
from unrollbit.operators.structure import positive_integer


@dataclass(frozen=True)
class _Subsampled(LinearOperator):
    """Some coefficients of a transform of a signal ``(n,)`` or an image ``(height, width)``, given by flat indices.

    Either ``kept`` lists them, or ``count`` of them are drawn from ``seed``, or both are None: all of them.
    """

    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    count: int = field(metadata={"static": True})
    seed: int | None = field(default=None, metadata={"static": True})
    kept: tuple[int, ...] | None = field(default=None, metadata={"static": True})

    @classmethod
    def of(cls, signal_shape: int | tuple[int, ...], indices: Sequence[int] | np.ndarray) -> Self:
        """Keep the coefficients with these flat (row-major) indices, in this order.

        Raises ``ValueError`` unless they are distinct integers in ``[0, n)``.
        """
        sides = check_signal_shape(signal_shape)
        n, flat = math.prod(sides), np.asarray(indices)
        if flat.ndim != 1 or flat.size == 0 or not np.issubdtype(flat.dtype, np.integer):
            raise ValueError(f"indices: expected a non-empty list of integers, got {indices!r}; flatten 2-D ones first")
        if flat.min() < 0 or flat.max() >= n or np.unique(flat).size != flat.size:
            raise ValueError(f"indices: expected distinct integers in [0, {n}), got {flat.min()}..{flat.max()}")
        return cls(sides, int(flat.size), None, tuple(int(i) for i in flat))

    @classmethod
    def random(cls, signal_shape: int | tuple[int, ...], count: int, seed: int = 0) -> Self:
        """Draw ``count`` coefficients from ``RandomState(seed)``; raises ``ValueError`` if there are not as many."""
        sides, count = check_signal_shape(signal_shape), positive_integer("count", count)
        available = cls._candidates(sides).size
        if count > available:
            raise ValueError(f"count: expected at most {available} coefficients of a {sides} signal, got {count}")
        return cls(sides, count, check_seed(seed))

    @classmethod
    def full(cls, signal_shape: int | tuple[int, ...]) -> Self:
        """The whole transform: all coefficients in their natural order."""
        sides = check_signal_shape(signal_shape)
        return cls(sides, math.prod(sides))

    @staticmethod
    def _candidates(signal_shape: tuple[int, ...]) -> np.ndarray:
        """The coefficients that ``random`` draws from."""
        return np.arange(math.prod(signal_shape))

    @property
    def indices(self) -> np.ndarray:
        """Flat indices of the kept coefficients, in the order of the measurements."""
        return _indices(type(self), self.signal_shape, self.count, self.seed, self.kept)

    def _keep(self, image: Array) -> Array:
        axes = len(self.signal_shape)
        return image.reshape(*image.shape[:-axes], -1)[..., self.indices]

    def _place(self, values: Array) -> Array:
        full = jnp.zeros((*values.shape[:-1], math.prod(self.signal_shape)), values.dtype)
        return self._image(full.at[..., self.indices].set(values, unique_indices=True))

    def _image(self, x: Array) -> Array:
        return x.reshape(*x.shape[:-1], *self.signal_shape)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(-len(self.signal_shape), 0))

    def resident_bits(self) -> int:
        """Kept indices of 32 bits."""
        return 0 if self.seed is None and self.kept is None else 32 * self.count

    def to_spec(self) -> Spec:
        spec: Spec = {"kind": type(self).__name__, "signal_shape": list(self.signal_shape)}
        if self.kept is None:
            return {**spec, "count": self.count, "seed": self.seed}
        return {**spec, "indices": self.indices}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        if "indices" in spec:
            return cls.of(spec["signal_shape"], spec["indices"])
        if spec["seed"] is None:
            return cls.full(spec["signal_shape"])
        return cls.random(spec["signal_shape"], spec["count"], spec["seed"])


del LinearOperator.kinds["_Subsampled"]  # no operator by itself


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SubsampledFourier(_Subsampled):
    """Kept frequencies of the unitary DFT of a real signal: ``y = (Re F_S x, Im F_S x)``, ``m = 2 count``.

    ``F x[f] = n^{-1/2} sum_t x[t] exp(-2 pi i <f, t>)``. As a real map its adjoint is ``Re F_S^H (r + i s)``.
    Frequencies ``f`` and ``-f`` of a real signal are conjugate, and those with ``f = -f`` (the mean, say) are real.
    ``SubsampledFourier.random`` draws one of each conjugate pair and no real ones, so that no measurement repeats or
    vanishes and ``A A^T = I/2`` exactly; give indices with ``SubsampledFourier.of`` to have others.

    Example:
        >>> import jax.numpy as jnp
        >>> A = SubsampledFourier.of(4, [0, 1])
        >>> A(jnp.array([1.0, 2.0, 3.0, 4.0]))  # 5, -1 + i
        Array([ 5., -1.,  0.,  1.], dtype=float32)
        >>> SubsampledFourier.random((8, 8), count=10, seed=1).frame_constant
        0.5
    """

    @staticmethod
    def _candidates(signal_shape: tuple[int, ...]) -> np.ndarray:
        flat = np.arange(math.prod(signal_shape))
        return flat[flat < _conjugate(signal_shape)]

    @property
    def shape(self) -> tuple[int, int]:
        return 2 * self.count, math.prod(self.signal_shape)

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        spectrum = jnp.fft.fftn(self._image(_at_least_single(x)), axes=self._axes, norm="ortho")
        kept = self._keep(spectrum)
        return jnp.concatenate([kept.real, kept.imag], -1).astype(x.dtype)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        real, imaginary = jnp.split(_at_least_single(y), 2, axis=-1)
        image = jnp.fft.ifftn(self._place(jax.lax.complex(real, imaginary)), axes=self._axes, norm="ortho")
        return image.real.reshape(*y.shape[:-1], -1).astype(y.dtype)

    def _real_or_paired(self) -> bool:
        """Whether a kept frequency is its own conjugate, or comes with it."""
        return bool(np.isin(_conjugate(self.signal_shape)[self.indices], self.indices).any())

    def norm(self) -> Norm:
        """Exact: 1 if a kept frequency is real or comes with its conjugate, else ``sqrt(1/2)``.

        ``A^T A`` is a sum of orthogonal projections: weight 1 for a real frequency, 1/2 for each kept one of a pair.
        """
        return Norm(1.0 if self._real_or_paired() else math.sqrt(0.5), exact=True)

    @property
    def frame_constant(self) -> float | None:
        """1/2 if no kept frequency is real or comes with its conjugate, else None."""
        return None if self._real_or_paired() else 0.5


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SubsampledDCT(_Subsampled):
    """Kept coefficients of the orthonormal DCT-II: ``y = C_S x``, ``m = count``; ``A A^T = I``, ``||A|| = 1``.

    ``C x[k] = w_k sum_t x[t] cos(pi k (2 t + 1) / (2 n))``, ``w_0 = n^{-1/2}``, ``w_k = (2/n)^{1/2}``; images: on both
    axes. ``SubsampledDCT.full`` is the whole transform; its ``.T`` is synthesis from DCT coefficients.

    Example:
        >>> import jax.numpy as jnp
        >>> A = SubsampledDCT.of(4, [0])
        >>> A(jnp.ones(4)), SubsampledDCT.full((8, 8)).shape, SubsampledDCT.random(64, 16, seed=3).frame_constant
        (Array([2.], dtype=float32), (64, 64), 1.0)
    """

    @property
    def shape(self) -> tuple[int, int]:
        return self.count, math.prod(self.signal_shape)

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        image = self._image(_at_least_single(x))
        return self._keep(jax.scipy.fft.dctn(image, axes=self._axes, norm="ortho")).astype(x.dtype)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        image = jax.scipy.fft.idctn(self._place(_at_least_single(y)), axes=self._axes, norm="ortho")
        return image.reshape(*y.shape[:-1], -1).astype(y.dtype)

    def norm(self) -> Norm:
        """1, exact."""
        return Norm(1.0, exact=True)

    @property
    def frame_constant(self) -> float:
        """1."""
        return 1.0


def _conjugate(signal_shape: tuple[int, ...]) -> np.ndarray:
    """The flat index of ``-f`` for every frequency ``f``."""
    negative = np.ix_(*(-np.arange(side) % side for side in signal_shape))
    return np.arange(math.prod(signal_shape)).reshape(signal_shape)[negative].ravel()


def _at_least_single(x: Array) -> Array:
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))  # no FFT in half precision


@functools.lru_cache(maxsize=32)
def _indices(
    kind: Any, signal_shape: tuple[int, ...], count: int, seed: int | None, kept: tuple[int, ...] | None
) -> np.ndarray:
    if kept is not None:
        chosen = np.array(kept, np.int32)
    elif seed is None:
        chosen = np.arange(math.prod(signal_shape), dtype=np.int32)
    else:
        chosen = np.random.RandomState(seed).permutation(kind._candidates(signal_shape))[:count].astype(np.int32)
    chosen.flags.writeable = False
    return chosen
