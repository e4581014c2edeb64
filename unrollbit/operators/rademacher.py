"""Random signs, held as bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.kernels import packed_matmul
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.checks import set_field
from unrollbit.operators.dense import Dense
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.sizes import check_entries, check_seed, positive_integer
from unrollbit.specs import Spec, check_fields
from unrollbit.structures.base import Structure
from unrollbit.values import pytree

_DRAW: Any = object()  # the default of ``packed``: draw it from the seed


@pytree
@dataclass(frozen=True)
class Rademacher(LinearOperator):
    """``A`` with i.i.d. entries ``+-1/sqrt(m)``, drawn from ``RandomState(seed)`` and held as one bit each.

    ``packed`` holds the signs, ``(m, ceil(n/8))`` bytes (see ``unrollbit.signbits``); leave it out to draw them.
    Products unpack a few rows at a time; ``prepare()`` gives the float matrix to run many times. Columns have unit
    norm.

    Raises ``ValueError`` unless ``m`` and ``n`` are positive integers and the seed is in ``[0, 2**32)``.

    Example:
        >>> import jax.numpy as jnp
        >>> A = Rademacher(16, 64, seed=0)
        >>> A(jnp.ones(64)).shape, A.resident_bits(), A.physics_bits()
        ((16,), 1024, 0)
    """

    m: int = field(metadata={"static": True})
    n: int = field(metadata={"static": True})
    seed: int = field(default=0, metadata={"static": True})
    packed: UInt8[Array, "m bytes"] = _DRAW

    def __post_init__(self) -> None:
        for name in ("m", "n"):
            set_field(self, name, positive_integer(name, getattr(self, name)))
        check_entries("Rademacher", self.m, self.n)
        set_field(self, "seed", check_seed(self.seed))
        if self.packed is _DRAW:
            set_field(self, "packed", jnp.asarray(_drawn(self.m, self.n, self.seed)))
            self.derived("drawn from its seed", lambda: True)
        rows = self.m, -(-self.n // 8)
        if self.packed.shape != rows or self.packed.dtype != jnp.uint8:
            raise ValueError(f"packed: expected bytes of shape {rows}, got {self.packed.dtype} {self.packed.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        return self.m, self.n

    def signs(self, dtype: Any = jnp.float32) -> Float[Array, "m n"]:
        """The +-1 matrix ``sqrt(m) A``."""
        return unpack_signs(self.packed, self.n, dtype)

    def _apply(self, x: Float[Array, "*batch n"]) -> Float[Array, "*batch m"]:
        return self._product(x, transpose=False)

    def _apply_adjoint(self, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return self._product(y, transpose=True)

    def _product(self, x: Array, transpose: bool) -> Array:
        """On the bits, a few rows at a time."""
        scale = jnp.full(1, 1.0 / math.sqrt(self.m))
        return packed_matmul(self.packed[None, None], x, self.n, scales=scale, transpose=transpose)

    def dense(self) -> Float[Array, "m n"]:
        return self.signs(jnp.zeros(()).dtype) / math.sqrt(self.m)

    def prepare(self) -> Dense:
        """The float matrix, as ``Dense``."""
        return Dense(self.dense())

    def column_norms(self) -> Float[Array, " n"]:
        """1: every entry is ``+-1/sqrt(m)``."""
        return jnp.ones(self.n)

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "m bytes"] | None:
        return np.asarray(self.packed) if structure in (None, self.mask()) else None

    def resident_bits(self) -> int:
        """``m n``: one bit an entry."""
        return self.m * self.n

    def to_spec(self) -> Spec:
        """The seed; the signs themselves (as a matrix on packed bits) where it does not draw them."""
        if self.derived("drawn from its seed", lambda: self == Rademacher(self.m, self.n, self.seed)):
            return {"kind": "Rademacher", "m": self.m, "n": self.n, "seed": self.seed}
        spec = {"kind": "PackedSigns", "bits": np.asarray(self.packed)[None], "scale": "layer"}
        scales = np.full(1, 1.0 / math.sqrt(self.m), np.float32)
        return {**spec, "scales": scales, "structure": self.mask().to_spec()}

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Rademacher:
        check_fields(cls, given, ("m", "n"), ("seed",))
        return cls(**given)


def _drawn(m: int, n: int, seed: int) -> UInt8[np.ndarray, "m bytes"]:
    bits = np.random.RandomState(seed).randint(0, 2, (m, n), dtype=np.int8)
    return pack_signs(1 - 2 * bits)
