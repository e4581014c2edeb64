"""Subsampled, sign-scrambled Hadamard measurements: the single-pixel camera."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.kernels import hadamard_transform
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import set_field
from unrollbit.operators.norms import Norm
from unrollbit.sizes import check_seed, positive_integer
from unrollbit.structures.base import Structure
from unrollbit.values import pytree

_AT_A_TIME = 2**20  # entries of the matrix whose signs are formed


@pytree
@dataclass(frozen=True)
class Hadamard(LinearOperator):
    """``A = R H diag(s) / sqrt(m)``: ``H`` Sylvester's ``n x n`` matrix, ``R`` keeps ``m`` rows, ``s`` random signs.

    All entries are ``+-1/sqrt(m)``, columns have unit norm, ``A A^T = (n/m) I`` and ``||A|| = sqrt(n/m)``, exactly.
    ``n`` must be a power of two. Rows (distinct, in random order) and signs are drawn from ``RandomState(seed)``, so a
    file stores three integers. ``H`` is applied as Kronecker factors of at most 32 rows: small matrix products in
    place of an ``n x n`` matrix. Reference: M. Duarte et al., "Single-pixel imaging via compressive sampling", 2008.

    Raises ``ValueError`` unless ``1 <= m <= n``, ``n`` is a power of two and the seed is in ``[0, 2**32)``.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Hadamard(2, 8, seed=0)
        >>> A(jnp.ones((5, 8))).shape, float(A.norm()), A.frame_constant
        ((5, 2), 2.0, 4.0)
    """

    m: int = field(metadata={"static": True})
    n: int = field(metadata={"static": True})
    seed: int = field(default=0, metadata={"static": True})

    def __post_init__(self) -> None:
        for name in ("m", "n"):
            set_field(self, name, positive_integer(name, getattr(self, name)))
        set_field(self, "seed", check_seed(self.seed))
        if self.n & (self.n - 1):
            raise ValueError(f"n: expected a power of two, got {self.n}; pad the signal to {1 << self.n.bit_length()}")
        if self.m > self.n:
            raise ValueError(f"m: expected at most n = {self.n} distinct rows, got {self.m}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    def resized(self, signal_shape: tuple[int, ...]) -> Hadamard:
        """As large a share of the rows of a matrix of that size, drawn from the same seed."""
        n = math.prod(signal_shape)
        return Hadamard(max(1, round(self.m / self.n * n)), n, self.seed)

    @property
    def rows(self) -> np.ndarray:
        """The ``m`` kept rows of ``H``, in the order of the measurements."""
        return _draw(self.m, self.n, self.seed)[0]

    @property
    def column_signs(self) -> np.ndarray:
        """``s``: ``n`` signs, int8."""
        return _draw(self.m, self.n, self.seed)[1]

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return hadamard_transform(x * self.column_signs.astype(x.dtype))[..., self.rows] / math.sqrt(self.m)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        full = jnp.zeros((*y.shape[:-1], self.n), y.dtype).at[..., self.rows].set(y, unique_indices=True)
        return hadamard_transform(full) * self.column_signs.astype(y.dtype) / math.sqrt(self.m)

    def signs(self) -> Float[Array, "m n"]:
        """The +-1 matrix ``sqrt(m) A``."""
        parity = np.bitwise_count(self.rows[:, None] & np.arange(self.n)[None]) & 1
        return jnp.asarray((1.0 - 2.0 * parity) * self.column_signs)

    def dense(self) -> Float[Array, "m n"]:
        return self.signs() / math.sqrt(self.m)

    def norm(self) -> Norm:
        """``sqrt(n/m)``, exact."""
        return Norm(math.sqrt(self.n / self.m), exact=True)

    @property
    def frame_constant(self) -> float:
        """``n/m``."""
        return self.n / self.m

    def column_norms(self) -> Float[Array, " n"]:
        """1: every entry is ``+-1/sqrt(m)``."""
        return jnp.ones(self.n)

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "m bytes"] | None:
        if structure not in (None, self.mask()):
            return None
        columns, negative = np.arange(self.n), self.column_signs < 0
        parts, height = [], max(1, _AT_A_TIME // self.n)
        for start in range(0, self.m, height):
            odd = (np.bitwise_count(self.rows[start : start + height, None] & columns) & 1).astype(bool)
            parts.append(np.packbits(odd ^ negative, axis=-1, bitorder="little"))
        return np.concatenate(parts)

    def resident_bits(self) -> int:
        """What is held: ``n`` signs of 8 bits and ``m`` row indices of 32 (the fast transform needs no matrix)."""
        return 8 * self.n + 32 * self.m


@functools.lru_cache(maxsize=32)
def _draw(m: int, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(seed)
    rows = random.permutation(n)[:m].astype(np.int32)
    signs = (1 - 2 * random.randint(0, 2, n, dtype=np.int8)).astype(np.int8)
    rows.flags.writeable = signs.flags.writeable = False
    return rows, signs
