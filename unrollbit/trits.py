"""Ternary weights as bytes: row-wise, little-endian; zeros are code 0, and so is padding.

The digit of a weight t in {-1, 0, +1} is ``t mod 3``: 0, 1 (+1) or 2 (-1), five digits a byte (1.6 bits a weight); or
its two low bits in two's complement: 00, 01 (+1) or 11 (-1), four weights a byte (2 bits a weight). The first weight
of a row is the least significant part of its first byte.
"""

from __future__ import annotations

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

PerByte = Literal[5, 4]
_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)
_LARGEST = 242  # five digits of 2


def pack_trits(values: np.ndarray, per_byte: PerByte = 5) -> UInt8[np.ndarray, "*lead bytes"]:
    """Pack ``(..., n)`` weights in {-1, 0, 1} into ``(..., ceil(n / per_byte))`` bytes.

    Example:
        >>> pack_trits(np.array([1, -1, 0, 0, 1, -1])).tolist()  # 1 + 2 * 3 + 81, 2
        [88, 2]
        >>> pack_trits(np.array([1, -1, 0, 0, 1, -1]), 4).tolist()  # 0b1101, 0b1101
        [13, 13]
    """
    values = np.asarray(values).astype(np.int8)
    padding = -values.shape[-1] % per_byte
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, padding)])
    rows = padded.reshape(*values.shape[:-1], -1, per_byte)
    if per_byte == 5:
        return (rows % 3 * _POWERS).sum(-1, dtype=np.uint8)
    return ((rows & 3) << np.arange(0, 8, 2)).sum(-1, dtype=np.uint8)


def unpack_trits(
    packed: UInt8[Array, "*lead bytes"], n: int, per_byte: PerByte = 5, dtype: jnp.dtype = jnp.float32
) -> Float[Array, "*lead n"]:
    """The weights of packed rows; inverse of ``pack_trits``, for compiled programs."""
    wide = packed[..., None].astype(jnp.int32)  # XLA's CPU compiler miscompiles some fused arithmetic on bytes
    if per_byte == 5:
        digits = wide // jnp.asarray(_POWERS, jnp.int32) % 3
        values = digits - 3 * (digits // 2)
    else:
        codes = (wide >> jnp.arange(0, 8, 2)) & 3
        values = codes - 4 * (codes // 2)
    return values.astype(dtype).reshape(*packed.shape[:-1], -1)[..., :n]


def check_trits(packed: UInt8[np.ndarray, "*lead bytes"], n: int, per_byte: PerByte) -> None:
    """Raise ``ValueError`` for bytes that ``pack_trits`` never writes: unknown codes, or padding that is not zero."""
    if per_byte == 5:
        wrong, used = packed > _LARGEST, 3 ** (n % 5 or 5)
    else:
        codes = (packed[..., None] >> np.arange(0, 8, 2, dtype=np.uint8)) & 3
        wrong, used = (codes == 2).any(-1), 4 ** (n % 4 or 4)
    if wrong.any():
        raise ValueError(f"ternary weights: {int(wrong.sum())} bytes hold codes that stand for no weight")
    if (packed[..., -1].astype(int) >= used).any():
        raise ValueError("ternary weights: the padding after a row is not zero")
