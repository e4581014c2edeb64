"""A whole packed network as one program of a few vector operations, which the C extension runs in one call.

XLA runs a small network one operation at a time, and each costs about a microsecond before it computes anything. The
tape is made from the program that JAX traced (``unrollbit.kernels.recorder``), so that an algorithm is written once:
what does not depend on the measurements is computed while recording; products with signs, fast transforms, elementwise
operations and moved entries become operations of the tape; scans over layers are unrolled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array

ELEMENTWISE = (
    *("add", "sub", "mul", "div", "max", "min", "lt", "le", "eq"),
    *("neg", "abs", "sign", "sqrt", "exp", "logistic", "log", "log1p", "binade"),
)
OPERATIONS = (
    "signs",
    "hadamard",
    "take",
    "repeat",
    "sum",
    "maximum",
    "select",
    *ELEMENTWISE,
)  # csrc/operations.inc says what they compute
_ALIGNED = 16  # floats of a cache line


class Operation(NamedTuple):
    """One operation. ``out`` and ``inputs`` are places; constants are inputs -1 - k."""

    name: str
    out: int
    n: int
    inputs: tuple[int, ...]
    steps: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()


class Tape(NamedTuple):
    """A program on ``scratch`` floats, which start with the measurements and end with a result at a place.

    ``shape`` is that of the result; ``matrices`` are arrays of packed signs.
    """

    operations: tuple[Operation, ...]
    constants: np.ndarray
    matrices: tuple[Array, ...]
    scratch: int
    result: int
    shape: tuple[int, ...]


def laid_out(
    operations: Sequence[Operation],
    sizes: Sequence[int],
    constants: np.ndarray,
    matrices: Sequence[Array],
    result: int,
    shape: tuple[int, ...],
) -> Tape:
    """The tape of operations on numbered values of ``sizes`` floats, of which the first one is the input. Values get
    places in the scratch, which are used again once their value is not.
    """
    last = {result: len(operations)}
    for i, operation in enumerate(operations):
        last |= {number: max(i, last.get(number, 0)) for number in operation.inputs if number >= 0}
    places, free, top = {0: 0}, {}, _rounded(sizes[0])
    placed = []
    for i, operation in enumerate(operations):
        size = _rounded(sizes[operation.out])
        if free.get(size):
            places[operation.out] = free[size].pop()
        else:
            places[operation.out], top = top, top + size
        inputs = tuple(number if number < 0 else places[number] for number in operation.inputs)
        placed.append(operation._replace(out=places[operation.out], inputs=inputs))
        for number in {*operation.inputs, operation.out}:
            if number > 0 and last.get(number, i) == i:
                free.setdefault(_rounded(sizes[number]), []).append(places[number])
    return Tape(tuple(placed), constants, tuple(matrices), top, places[result], shape)


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
