"""Checks of sizes and seeds, whether a user or a file declares them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LARGEST_SIDE = 2**26  # measurements, unknowns: an image of 8,192 x 8,192
LARGEST_MATRIX = 2**30  # entries of a matrix or mask that is formed: 32,768 x 32,768
LARGEST_COUNT = 2**16  # blocks that are drawn one by one


def positive_integer(name: str, value: int, largest: int = LARGEST_SIDE) -> int:
    """Return ``value`` as an int; raise ``ValueError`` unless it is an integer in ``[1, largest]``.

    The bound keeps what a file declares from allocating memory that nothing in the file stands for.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name}: expected a positive integer, got {value!r}")
    if value > largest:
        raise ValueError(f"{name}: expected at most {largest:,}, got {value}")
    return int(value)


def positive_integers(**values: int) -> None:
    """``positive_integer`` for several names."""
    for name, value in values.items():
        positive_integer(name, value)


def check_seed(seed: int) -> int:
    """Return a seed as an int; raise ``ValueError`` unless ``numpy.random.RandomState`` takes it."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed: expected an integer in [0, 2**32), got {seed!r}")
    return int(seed)


def check_signal_shape(shape: Any) -> tuple[int, ...]:
    """Return ``(n,)`` or ``(height, width)`` as a tuple of ints; raise ``ValueError`` for anything else."""
    sides = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if len(sides) not in (1, 2):
        raise ValueError(f"signal_shape: expected (n,) or (height, width), got {shape!r}")
    sides = tuple(positive_integer("signal_shape", side) for side in sides)
    positive_integer("signal_shape: unknowns", math.prod(sides))
    return sides


def check_entries(what: str, *sides: int) -> None:
    """Raise ``ValueError`` for a matrix, mask or stack of blocks of more entries than may be formed."""
    if math.prod(sides) > LARGEST_MATRIX:
        size = " x ".join(map(str, sides))
        raise ValueError(f"{what}: {size} entries are more than the {LARGEST_MATRIX:,} that are formed in memory")
