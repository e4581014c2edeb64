"""Orthonormal transforms in which real signals are sparse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import choice, shown
from unrollbit.operators import LinearOperator, SubsampledDCT, Wavelet
from unrollbit.problems.samples import Samples

Transform = Literal["dct", "wavelet"]
_LEVELS = 4


def synthesis(transform: Transform, signal_shape: tuple[int, ...], wavelet: str) -> LinearOperator:
    """The orthonormal map ``Psi`` from coefficients to signals of ``signal_shape``, flattened; ``Psi.T`` analyses.

    Wavelets have as many levels as the sides have factors of two, at most 4. Raises ``ValueError`` for an unknown name.
    """
    if not isinstance(wavelet, str):
        raise ValueError(f"wavelet: expected a name, such as 'db4', got {shown(wavelet)}")
    if choice("transform", transform, get_args(Transform)) == "dct":
        return SubsampledDCT.full(signal_shape).T
    return Wavelet.of(signal_shape, wavelet, max(1, min(_LEVELS, *(_halvings(side) for side in signal_shape))))


def coefficients(psi: LinearOperator, signals: Sequence[Float[np.ndarray, "count n"]]) -> Samples:
    """``Psi^T s`` of the flat signals of the three subsets, float32."""
    stacked = jnp.asarray(np.concatenate(signals), jnp.float32)
    ends = np.cumsum([len(part) for part in signals])[:-1]
    train, validation, test = jnp.split(transformed(psi.T, stacked), ends)
    return train, validation, test


@jax.jit
def transformed(psi: LinearOperator, x: Float[Array, "*batch n"]) -> Float[Array, "*batch p"]:
    """``Psi x``, compiled as one."""
    return psi(x)


def _halvings(side: int) -> int:
    return (side & -side).bit_length() - 1
