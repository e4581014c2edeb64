"""Some samples of a signal, the others missing: inpainting."""

from __future__ import annotations

import math
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.kept import Kept
from unrollbit.operators.norms import Norm
from unrollbit.structures.band import Indexed
from unrollbit.structures.drawn import Drawn
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Subsampling(Kept):
    """``y = x[S]``: kept samples of a signal ``(n,)`` or pixels of an image ``(height, width)``; rows of the identity.

    ``Subsampling.random`` draws them from a seed, ``Subsampling.of`` takes their flat indices. ``A A^T = I``; all
    entries are 0 or 1, so ``W = A`` stores nothing and is no approximation.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Subsampling.of(4, [0, 2])
        >>> A(jnp.array([1.0, 2.0, 3.0, 4.0])), A.T(jnp.array([1.0, 3.0]))
        (Array([1., 3.], dtype=float32), Array([1., 0., 3., 0.], dtype=float32))
    """

    @property
    def shape(self) -> tuple[int, int]:
        return self.count, math.prod(self.signal_shape)

    @property
    def measured_shape(self) -> tuple[int, ...] | None:
        return self.signal_shape if self.count == math.prod(self.signal_shape) else None

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self._keep(self._image(x))

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self._place(y).reshape(*y.shape[:-1], -1)

    def norm(self) -> Norm:
        """1, exact."""
        return Norm(1.0, exact=True)

    def column_norms(self) -> Float[Array, " n"]:
        """1 for a kept sample, else 0."""
        return jnp.zeros(self.shape[1]).at[self.indices].set(1)

    @property
    def frame_constant(self) -> float:
        """1."""
        return 1.0

    def mask(self) -> Drawn | Indexed:
        m, n = self.shape
        if self.seed is not None:
            return Drawn(m, n, self.seed)
        return Indexed(m, n, tuple(int(i) for i in np.arange(m) * n + self.indices))
