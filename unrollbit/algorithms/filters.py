"""Where learned filters start: atoms of the cosine transform, or differences."""

from __future__ import annotations

import itertools
import math

import numpy as np
from jaxtyping import Float


def dct_atoms(kernel_shape: tuple[int, ...], count: int) -> Float[np.ndarray, "*taps count"]:
    """The first ``count`` atoms of the orthonormal DCT-II by rising frequency, without the constant one.

    Their taps sum to 0 and have norm 1. Raises ``ValueError`` for more atoms than there are.
    """
    available = math.prod(kernel_shape) - 1
    if count > available:
        raise ValueError(f"filters: {kernel_shape} taps have {available} atoms without a mean, fewer than {count}")
    frequencies = itertools.product(*map(range, kernel_shape))
    rising = sorted(
        frequencies, key=lambda f: (sum((k / size) ** 2 for k, size in zip(f, kernel_shape, strict=True)), f)
    )
    axes = [np.cos(np.pi * np.arange(size)[:, None] * (np.arange(size) + 0.5) / size) for size in kernel_shape]
    atoms = np.ones((count, *(1,) * len(kernel_shape)))
    for axis, table in enumerate(axes):
        own = table[[f[axis] for f in rising[1 : count + 1]]]
        atoms = atoms * own.reshape(count, *(-1 if i == axis else 1 for i in range(len(kernel_shape))))
    atoms /= np.linalg.norm(atoms.reshape(count, -1), axis=1).reshape(-1, *(1,) * len(kernel_shape))
    return np.moveaxis(atoms, 0, -1)


def differences(axes: int) -> Float[np.ndarray, "*taps count"]:
    """``x[i + 1] - x[i]`` along every axis, two taps on each."""
    filters = np.zeros((*(2,) * axes, axes))
    for axis in range(axes):
        filters[(*(0,) * axes, axis)] = -1
        filters[(*(int(i == axis) for i in range(axes)), axis)] = 1
    return filters


def largest_gain(filters: Float[np.ndarray, "*taps count"], points: int = 128) -> float:
    """``max_f sum_c |h_c(f)|^2`` on a grid of frequencies: the squared norm of the bank, and a bound of it where
    filters that are even or odd on each axis meet a mirrored border.
    """
    axes = tuple(range(filters.ndim - 1))
    transfer = np.fft.fftn(filters, s=(points,) * len(axes), axes=axes)
    return float((np.abs(transfer) ** 2).sum(-1).max())
