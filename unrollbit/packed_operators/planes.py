"""A matrix replaced by sign planes: physics that a network holds in a few bits per entry."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators.base import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.signbits import pack_signs
from unrollbit.sizes import positive_integer

_TRIED = (101, 41)  # units of the coarse and of the fine grid


def plane_scales(planes: int) -> tuple[float, ...]:
    """Powers of two from large to small: ``2^P`` equally spaced values ``sum_p +-2^p``, symmetric about 0."""
    return tuple(2.0 ** (planes - 1 - p) for p in range(planes))


def uniform_signs(
    matrix: Float[np.ndarray, "*lead m n"], planes: int, *, by_column: bool = False
) -> tuple[Float[np.ndarray, "planes *lead m n"], np.ndarray]:
    """Signs ``S_p`` and unit c of the best uniform quantiser ``c sum_p 2^(planes-1-p) S_p`` (least squared error).

    c is one number for each matrix, shape (*lead, 1, 1), or one for each column, (*lead, 1, n), found on a grid of
    about 0.2 % resolution (Max, "Quantizing for minimum distortion", 1960, gives it in tables for Gaussian entries).
    """
    positive_integer("planes", planes)
    matrix = np.asarray(matrix, np.float64)
    axes = (-2,) if by_column else (-2, -1)
    levels = 2**planes
    size = np.abs(matrix)
    mean = size.mean(axes, keepdims=True)
    zero = mean == 0  # any unit will do until the end, where it is 0

    def quantise(unit: np.ndarray) -> np.ndarray:  # index of the nearest level: 0 ... 2^P - 1
        return np.clip(np.floor(matrix / (2 * unit) + levels / 2), 0, levels - 1)

    low = np.where(zero, 1.0, mean / levels)
    best, error = low, np.full(low.shape, np.inf)
    high = np.maximum(size.max(axes, keepdims=True), low)
    for tried in _TRIED:  # a coarse grid, then a fine one about its best
        spacing = (high / low) ** (1.0 / (tried - 1))
        for step in range(tried):
            unit = low * spacing**step
            found = ((matrix - (2 * quantise(unit) - levels + 1) * unit) ** 2).sum(axes, keepdims=True)
            best, error = np.where(found < error, unit, best), np.minimum(found, error)
        low, high = best / spacing, best * spacing
    index = quantise(best).astype(np.int64)
    signs = np.stack([2 * (index >> (planes - 1 - p) & 1) - 1 for p in range(planes)])
    return signs.astype(np.float32), np.where(zero, 0.0, best)


def sign_planes(operator: LinearOperator, planes: int) -> PackedSigns:
    """``A`` replaced by ``sum_p c_jp S_p``: ``planes`` bits per entry and one float per column and plane.

    The relative error of Gaussian entries falls by 5 to 6 dB a plane, that of sparse columns by less; what a network
    recovers with such physics is limited by it.
    Raises ``ValueError`` for fewer than one plane, an irregular mask, or a preconditioned operator.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(32, 64)
        >>> bool(jnp.linalg.norm(sign_planes(A, 4).dense() - A.dense()) < 0.12 * jnp.linalg.norm(A.dense()))
        True
    """
    if operator.preconditioned:
        raise ValueError("sign_planes: a preconditioned operator holds P in floats for the measurements; use A itself")
    structure = operator.mask()
    if not structure.solid:
        raise ValueError("sign_planes: expected dense or block-diagonal physics; structured physics is small already")
    core = np.asarray(operator.core(structure))
    signs, unit = uniform_signs(core, positive_integer("planes", planes), by_column=True)
    scales: Array = jnp.asarray(np.asarray(plane_scales(planes))[:, None] * unit.reshape(1, -1), jnp.float32)
    return PackedSigns(jnp.asarray(pack_signs(signs)), scales, None, structure, "column")
