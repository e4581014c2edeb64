"""Signs as bits: row-wise, little-endian; bit 1 means -1, and padding bits are 0 (+1).

The convention of OneBit's and LittleBit's packers, so that their bytes agree with ours.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8


def pack_signs(values: np.ndarray) -> np.ndarray:
    """Pack the signs of ``(..., n)`` values into ``(..., ceil(n / 8))`` bytes; ``sign(0) = +1``.

    Weight ``8 j + k`` of a row is bit ``k`` (least significant first) of byte ``j``.
    """
    return np.packbits(np.asarray(values) < 0, axis=-1, bitorder="little")


def unpack_signs(packed: UInt8[Array, "*lead bytes"], n: int, dtype: Any = jnp.float32) -> Float[Array, "*lead n"]:
    """The +-1 values of packed signs, differentiable code's constant; inverse of ``pack_signs``."""
    bits = (packed[..., None] >> jnp.arange(8, dtype=jnp.uint8)) & 1
    # Arithmetic in the dtype of the result: XLA's CPU compiler (jaxlib 0.10) miscompiles int8 arithmetic that is fused
    # into a reduction over several planes.
    signs = 1 - 2 * bits.astype(dtype)
    return signs.reshape(*packed.shape[:-1], -1)[..., :n]


def sign_at(packed: UInt8[Array, "bytes"], at: Int[Array, "..."], dtype: Any = jnp.float32) -> Float[Array, "..."]:
    """The +-1 values of these numbers in one packed row."""
    return 1 - 2 * (packed[at >> 3].astype(jnp.int32) >> (at & 7) & 1).astype(dtype)
