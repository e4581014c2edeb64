"""A whole packed network in one call of the C extension: its program, recorded as a tape of a few vector operations.

XLA runs a small network one operation at a time, and each costs about a microsecond before it computes anything. The
tape is made from the program that JAX traced, so that an algorithm is written once: what does not depend on the
measurements is computed while recording; products with signs, fast transforms, elementwise operations and moved entries
become operations of the tape (``csrc/tape.inc``); scans over layers are unrolled. A program with anything else has no
tape.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.kernels.native import TAPE_TARGET

OPERATIONS = (
    *("signs", "hadamard", "take", "sum", "select", "add", "sub", "mul", "div", "max", "min"),
    *("lt", "le", "eq", "neg", "abs", "sign", "sqrt", "exp", "logistic", "log", "log1p"),
)  # as in signs.h
ELEMENTWISE = OPERATIONS[5:]
MOST_MATRICES = 64  # as in ffi.c
_ALIGNED = 16  # floats of a cache line


class Operation(NamedTuple):
    """``inputs``: values, or constants as negative numbers -1 - k."""

    name: str
    out: int
    n: int
    inputs: tuple[int, ...]
    steps: tuple[int, ...] = (0, 0, 0)
    sizes: tuple[int, ...] = ()


class Tape(NamedTuple):
    """A program as the C extension runs it: see ``play``."""

    operations: Array
    constants: Array
    matrices: tuple[Array, ...]
    scratch: int
    result: int
    shape: tuple[int, ...]
    level: int


def laid_out(
    operations: Sequence[Operation],
    sizes: Sequence[int],
    constants: np.ndarray,
    matrices: Sequence[Array],
    result: int,
    shape: tuple[int, ...],
    level: int,
) -> Tape:
    """The tape of operations. Values (``sizes`` floats each, the first one is the input) get places in the scratch,
    which are used again once their value is not.
    """
    last = {result: len(operations)}
    for i, operation in enumerate(operations):
        last |= {number: max(i, last.get(number, 0)) for number in operation.inputs if number >= 0}
    places, free, top = {0: 0}, {}, _rounded(sizes[0])
    rows = []
    for i, operation in enumerate(operations):
        size = _rounded(sizes[operation.out])
        if free.get(size):
            places[operation.out] = free[size].pop()
        else:
            places[operation.out], top = top, top + size
        inputs = [number if number < 0 else places[number] for number in operation.inputs]
        row = [OPERATIONS.index(operation.name), places[operation.out], operation.n]
        for values, count in ((inputs, 3), (operation.steps, 3), (operation.sizes, 6)):
            row += [*values, *[0] * (count - len(values))]
        rows.append(row)
        for number in {*operation.inputs, operation.out}:
            if number > 0 and last.get(number, i) == i:
                free.setdefault(_rounded(sizes[number]), []).append(places[number])
    packed = np.asarray(rows, np.int64).view(np.uint8).reshape(-1)
    return Tape(jnp.asarray(packed), jnp.asarray(constants), tuple(matrices), top, places[result], shape, level)


def play(tape: Tape, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
    """Run the program on measurements of the shape that it was recorded for."""
    options = {"shape": tape.shape, "scratch": tape.scratch, "result": tape.result, "level": tape.level}
    return _played(y, tape.operations, tape.constants, *tape.matrices, **options)


@functools.partial(jax.jit, static_argnames=("shape", "scratch", "result", "level"))
def _played(*arguments: Array, shape: tuple[int, ...], scratch: int, result: int, level: int) -> Array:
    made = [jax.ShapeDtypeStruct(size, jnp.float32) for size in (shape, (scratch,))]
    call = jax.ffi.ffi_call(TAPE_TARGET, made)
    return call(*arguments, level=np.int64(level), result=np.int64(result))[0]


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
