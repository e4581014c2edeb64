"""Partial Fourier and cosine transforms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import jax
import jax.numpy as jnp
import jax.scipy.fft
import numpy as np
from jaxtyping import Array, Bool, Float, Num

from unrollbit.operators.kept import Kept
from unrollbit.operators.norms import Norm
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class SubsampledFourier(Kept):
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

    @classmethod
    def of_mask(cls, mask: Bool[np.ndarray, "*sides"] | Num[np.ndarray, "*sides"]) -> Self:
        """The frequencies that a mask keeps, zero frequency first (as ``numpy.fft`` has them): one of each conjugate
        pair, since a real signal has no more to tell.

        Raises ``ValueError`` unless the mask keeps ``-f`` with every ``f``.

        Example:
            >>> SubsampledFourier.of_mask(np.array([[1, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])).indices
            array([0, 1, 5], dtype=int32)
        """
        kept = np.asarray(mask) != 0
        conjugate = _conjugate(kept.shape)
        if (kept.ravel() != kept.ravel()[conjugate]).any():
            raise ValueError(
                "mask: expected the frequency -f with every f, as real signals have them; shift zero frequency to "
                "the first place (numpy.fft.ifftshift), or list one of each pair with SubsampledFourier.of"
            )
        return cls.of(kept.shape, np.flatnonzero(kept.ravel() & (np.arange(kept.size) <= conjugate)))

    @property
    def complex_physics(self) -> bool:
        return True

    def linear_estimate(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        """The pseudo-inverse: the signal of the kept frequencies (and their conjugates), the others 0."""
        alone = ~np.isin(_conjugate(self.signal_shape)[self.indices], self.indices)
        return self.T(y * np.tile(1.0 + alone, 2).astype(y.dtype))

    @property
    def inverts(self) -> bool:
        return True

    def _real_or_paired(self) -> bool:
        """Whether a kept frequency is its own conjugate, or comes with it."""
        return bool(np.isin(_conjugate(self.signal_shape)[self.indices], self.indices).any())

    def norm(self) -> Norm:
        """Exact: 1 if a kept frequency is real or comes with its conjugate, else ``sqrt(1/2)``.

        ``A^T A`` is a sum of orthogonal projections: weight 1 for a real frequency, 1/2 for each kept one of a pair.
        """
        return Norm(1.0 if self._real_or_paired() else math.sqrt(0.5), exact=True)

    def column_norms(self) -> Float[Array, " n"]:
        """``sqrt(count / n)``: all entries of a DFT have equal modulus."""
        n = self.shape[1]
        return jnp.full(n, math.sqrt(self.count / n))

    @property
    def frame_constant(self) -> float | None:
        """1/2 if no kept frequency is real or comes with its conjugate, else None."""
        return None if self._real_or_paired() else 0.5


@pytree
@dataclass(frozen=True)
class SubsampledDCT(Kept):
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
