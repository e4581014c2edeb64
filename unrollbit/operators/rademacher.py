"""Random signs, held as bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from unrollbit.kernels import packed_matmul
from unrollbit.operators.base import LinearOperator, Spec
from unrollbit.operators.dense import Dense
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.sizes import check_entries, check_seed, positive_integer

_DRAW: Any = object()  # the default of ``packed``: draw it from the seed


@jax.tree_util.register_dataclass
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
        if self.packed is not _DRAW:
            return
        for name in ("m", "n"):
            object.__setattr__(self, name, positive_integer(name, getattr(self, name)))
        check_entries("Rademacher", self.m, self.n)
        object.__setattr__(self, "seed", check_seed(self.seed))
        bits = np.random.RandomState(self.seed).randint(0, 2, (self.m, self.n), dtype=np.int8)
        object.__setattr__(self, "packed", jnp.asarray(pack_signs(1 - 2 * bits)))

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

    def column_rms(self) -> float:
        return 1.0

    def resident_bits(self) -> int:
        """``m n``: one bit an entry."""
        return self.m * self.n

    def to_spec(self) -> Spec:
        return {"kind": "Rademacher", "m": self.m, "n": self.n, "seed": self.seed}

    @classmethod
    def _from_spec(cls, spec: Spec) -> LinearOperator:
        return cls(spec["m"], spec["n"], spec["seed"])
