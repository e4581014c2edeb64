"""Tapes that are refused: programs that have none, and operations and sizes out of place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.kernels import hadamard_transform, kernels, native
from unrollbit.kernels.programs import NoTape
from unrollbit.kernels.recorder import record
from unrollbit.kernels.tape import Tape
from unrollbit.operators import Rademacher

LEVELS = [path for path in native.LEVELS if path in kernels().available]
pytestmark = pytest.mark.skipif(not LEVELS, reason="no C extension")


def tape_of(program: Callable[[Any], Any], y: Any) -> Tape:
    return record(jax.make_jaxpr(program)(y))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (jnp.sort, "sort"),
        (lambda y: 2 * y, "no product with signs and no fast transform: XLA is as fast"),
        (lambda y: y**3 + hadamard_transform(y), "power 3"),
        (lambda y: jnp.sum(hadamard_transform(y), axis=0), "a sum over leading axes"),
        (lambda y: jnp.ones(3), "no product with signs and no fast transform: XLA is as fast"),
        (lambda y: (hadamard_transform(y) > 0).astype(jnp.int32), r"convert_element_type gives .*int32\[2,4\]"),
    ],
)
def test_a_program_without_a_tape_gives_the_reason(program, reason):
    with pytest.raises(NoTape, match=reason):
        tape_of(program, jnp.ones((2, 4)))


H = hadamard_transform
OUTSIDE: dict[str, Callable[[Any], Any]] = {  # programs that were easy to get wrong: right, or without a tape
    "numbers as a mask": lambda y: H(y.astype(bool).astype(jnp.float32)),
    "a fill value": lambda y: H(y.at[:, np.arange(32) + 16].get(mode="fill", fill_value=5.0)),
    "not a number from outside": lambda y: H(jnp.take(y, np.arange(32) + 1, axis=1)),
    "along another axis": lambda y: jax.vmap(H, in_axes=1, out_axes=1)(y.reshape(32, 3)),
    "one axis more": lambda y: jax.vmap(H)(y.reshape(3, 4, 8)),
    "a derivative": lambda y: jax.jvp(H, (y,), (2 * y,))[1],
    "a namesake": lambda y: jax.jit(namesake)(y) + H(y),
    "a padded mask": lambda y: H(jnp.where(jnp.pad(y > 0, ((0, 0), (2, 0)))[:, :32], y, 0)),
    "joined masks": lambda y: H(jnp.where(jnp.concatenate([y[:, :16] > 0, np.ones((3, 16), bool)], 1), y, 0)),
    "a barrier": lambda y: H(jax.lax.optimization_barrier((y, jnp.ones(3)))[0]),
    "nothing": lambda y: H(y + jnp.sum(y[:, :0] * np.zeros((3, 0), np.float32), axis=1, keepdims=True)),
    "two zeros": lambda y: H(jnp.where(jnp.abs(y) / np.array([0.0, -0.0] * 16, np.float32) > 0, y, 2.0)),
    "close to the largest number": lambda y: H(jnp.exp(88.5 + 0 * y) * 1e-30),
    "close to nothing": lambda y: H(jnp.exp(-1000 + 0 * y) * 1e38),
}
ON_A_TAPE = {"along another axis", "one axis more", "a derivative", "a namesake", "a barrier", "two zeros"}
ON_A_TAPE |= {"close to the largest number", "close to nothing"}


def namesake(y: Any) -> Any:
    return 3 * y


namesake.__name__ = "hadamard_transform"


@pytest.mark.parametrize("name", OUTSIDE)
def test_programs_are_right_or_have_no_tape(name):
    y = jnp.asarray(np.random.RandomState(1).standard_normal((3, 32)).astype(np.float32))
    if name not in ON_A_TAPE:
        with pytest.raises(NoTape):
            tape_of(OUTSIDE[name], y)
    else:
        tape, wanted = tape_of(OUTSIDE[name], y), OUTSIDE[name](y)
        np.testing.assert_allclose(
            native.play(tape, "plain")(y), wanted, rtol=1e-5, atol=1e-5 * float(jnp.max(jnp.abs(wanted)))
        )


def encoded(tape: Tape) -> np.ndarray:
    """A row of 15 numbers for each operation."""
    return native.encoded(tape).view(np.int64).reshape(-1, 15)


def changed(tape: Tape, name: str, **columns: int) -> np.ndarray:
    """The encoded tape with numbers of its first operation of a name replaced."""
    operations = encoded(tape)
    row = np.flatnonzero(operations[:, 0] == native.extension().operations[name])[0]
    for column, value in columns.items():
        operations[row, int(column[1:])] = value
    return operations


def played(tape: Tape, y: Any, operations: np.ndarray, **sizes: Any) -> Any:
    """The call with operations and sizes as they are, by generic C."""
    options = {"shape": tape.shape, "scratch": tape.scratch, "result": tape.result, "level": 0, **sizes}
    packed = jnp.asarray(operations.view(np.uint8).reshape(-1))
    return jax.block_until_ready(native.played(y, packed, jnp.asarray(tape.constants), *tape.matrices, **options))


@pytest.mark.parametrize(
    ("name", "column", "value"),
    [
        ("signs", 0, len(native.extension().operations)),
        ("signs", 0, -1),
        ("signs", 1, -16),  # out
        ("signs", 1, 10**6),
        ("signs", 2, 0),  # n
        ("signs", 2, 10**4),
        ("signs", 3, 10**6),  # input
        ("signs", 9, 5),  # matrix
        ("signs", 10, 1000),  # first byte
        ("signs", 10, -1),
        ("signs", 12, 10**5),  # rows
        ("signs", 14, 2),  # transpose
        ("mul", 4, -(10**5)),  # a constant
        ("mul", 6, 2),  # step
        ("hadamard", 9, 3),
        ("hadamard", 9, 2**20),
        ("take", 9, 2),  # entries of its source
        ("take", 4, 0),  # numbers in the scratch
        ("repeat", 9, 10**6),
        ("repeat", 2, 10**6),
        ("sum", 9, 10**6),
        ("maximum", 9, 10**6),
        ("maximum", 9, 0),
    ],
)
def test_operations_out_of_place_are_refused(name, column, value):
    A = Rademacher(24, 64)

    def program(y):
        x = hadamard_transform(A.T(y))[:, ::-1]
        return 2.5 * x / jnp.sum(x, axis=-1, keepdims=True) / jnp.max(x, axis=-1, keepdims=True)

    y = jnp.ones((2, 24))
    tape = tape_of(program, y)
    np.testing.assert_allclose(played(tape, y, encoded(tape)), program(y), rtol=1e-4)
    with pytest.raises(Exception, match="out of place"):
        played(tape, y, changed(tape, name, **{f"_{column}": value}))


def test_sizes_whose_product_is_no_number_are_refused():
    y = jnp.ones((1, 16))
    tape = tape_of(H, y)
    with pytest.raises(Exception, match="out of place"):
        played(tape, y, changed(tape, "hadamard", _2=2**62, _9=4))


def test_sizes_that_disagree_are_refused():
    y = jnp.ones((1, 16))
    tape = tape_of(H, y)
    operations = encoded(tape)
    for sizes in ({"scratch": 8}, {"result": tape.scratch}, {"shape": (1, 10**4)}):
        with pytest.raises(Exception, match="disagree"):
            played(tape, y, operations, **sizes)
    with pytest.raises(Exception, match="disagree"):
        played(tape, y, operations.reshape(-1)[:-1])
    with pytest.raises(Exception, match="not for this processor"):
        played(tape, y, operations, level=7)
    with pytest.raises(Exception, match="expected float32"):
        played(tape, y.astype(jnp.int32), operations)
