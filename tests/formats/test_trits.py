"""Ternary weights as bytes: bytes by hand, round trips, compiled sums, and bytes that stand for no weight."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.trits import check_trits, pack_trits, unpack_trits


def test_bytes_by_hand() -> None:
    row = np.array([1, 0, -1, -1, 0, 1, -1])
    # digits 1 0 2 2 0 | 1 2: 1 + 2 * 9 + 2 * 27 = 73, 1 + 2 * 3 = 7
    np.testing.assert_array_equal(pack_trits(row), [73, 7])
    # codes 01 00 11 11 | 00 01 11: 1 + 3 * 16 + 3 * 64 = 241, 1 * 4 + 3 * 16 = 52
    np.testing.assert_array_equal(pack_trits(row, 4), [241, 52])
    assert pack_trits(row).dtype == np.uint8
    np.testing.assert_array_equal(pack_trits(np.zeros((2, 6))), np.zeros((2, 2)))
    np.testing.assert_array_equal(pack_trits(-np.ones(5)), [242])


def test_every_byte_of_five_digits_is_met_once() -> None:
    every = np.array(list(itertools.product((-1, 0, 1), repeat=5)))
    packed = pack_trits(every)[:, 0]
    assert sorted(packed) == list(range(243))
    np.testing.assert_array_equal(unpack_trits(jnp.asarray(packed[:, None]), 5), every)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 23), st.integers(1, 3), st.sampled_from([4, 5]), st.integers(0, 99))
def test_round_trips(n: int, rows: int, per_byte: int, seed: int) -> None:
    values = np.random.RandomState(seed).randint(-1, 2, (2, rows, n))
    packed = pack_trits(values, per_byte)
    assert packed.shape == (2, rows, -(-n // per_byte))
    check_trits(packed, n, per_byte)
    decoded = [[[value for byte in row for value in _digits(int(byte), per_byte)][:n] for row in m] for m in packed]
    np.testing.assert_array_equal(decoded, values)  # an oracle in plain Python


def _digits(byte: int, per_byte: int) -> list[int]:
    base = 3 if per_byte == 5 else 4
    meaning = {0: 0, 1: 1, base - 1: -1}
    return [meaning[byte // base**i % base] for i in range(per_byte)]


@pytest.mark.parametrize("per_byte", [5, 4])
def test_compiled_sums_are_exact(per_byte: int) -> None:
    """Unpacking fused into a reduction: where arithmetic on bytes has been miscompiled."""
    values = np.random.RandomState(1).randint(-1, 2, (3, 40, 57))
    packed = jnp.asarray(pack_trits(values, per_byte))
    total = jax.jit(lambda p: (unpack_trits(p, 57, per_byte) * jnp.arange(1.0, 4.0)[:, None, None]).sum((0, 2)))
    np.testing.assert_array_equal(total(packed), (values * np.arange(1, 4)[:, None, None]).sum((0, 2)))


@pytest.mark.parametrize(
    ("packed", "n", "per_byte", "message"),
    [
        ([[243]], 5, 5, "1 bytes hold codes that stand for no weight"),
        ([[0, 255]], 10, 5, "stand for no weight"),
        ([[0, 3]], 6, 5, "padding after a row is not zero"),
        ([[2]], 4, 4, "stand for no weight"),
        ([[4]], 1, 4, "padding after a row is not zero"),
    ],
)
def test_bytes_that_no_weights_have_are_refused(packed: list[list[int]], n: int, per_byte: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_trits(np.array(packed, np.uint8), n, per_byte)
