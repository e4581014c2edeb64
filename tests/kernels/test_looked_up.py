"""Products by tables in pure JAX, against exact ones."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.kernels import packed_matmul
from unrollbit.kernels.looked_up import looked_up, tables_pay
from unrollbit.signbits import pack_signs

SHAPES = [(1, 1), (8, 8), (7, 9), (64, 8), (1030, 70), (520, 2050), (1, 300)]


def drawn(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, jax.Array, np.random.RandomState]:
    random = np.random.RandomState(seed)
    signs = random.choice([-1.0, 1.0], (rows, columns))
    return signs, jnp.asarray(pack_signs(signs)), random


@pytest.mark.long
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_products_against_float64(shape, transpose):
    signs, bits, random = drawn(*shape)
    x = random.standard_normal(shape[0 if transpose else 1]).astype(np.float32)
    wanted = x.astype(np.float64) @ (signs if transpose else signs.T)
    found = jax.jit(functools.partial(looked_up, columns=shape[1], transpose=transpose))(bits, x)
    assert found.dtype == jnp.float32
    assert np.linalg.norm(np.asarray(found, np.float64) - wanted) <= 2e-6 * np.linalg.norm(wanted)


@pytest.mark.long
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 80), st.integers(1, 80), st.booleans(), st.integers(0, 2**31 - 1))
def test_whole_numbers_are_exact_whatever_pads_the_bits(rows, columns, transpose, seed):
    signs, bits, random = drawn(rows, columns, seed)
    if columns % 8:
        junk = np.zeros_like(bits)
        junk[:, -1] = random.randint(0, 256, rows) & (0xFF << columns % 8 & 0xFF)
        bits = bits | junk
    x = random.randint(-99, 100, rows if transpose else columns).astype(np.float32)
    found = looked_up(bits, jnp.asarray(x), columns, transpose)
    np.testing.assert_array_equal(found, x @ (signs if transpose else signs.T))


@pytest.mark.long
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_few_vectors_take_tables_and_give_what_unpacked_rows_give(batch, transpose):
    rows, columns = (72, 1200) if transpose else (1200, 72)
    signs, bits, random = drawn(rows, columns)
    x = random.standard_normal((batch, 72)).astype(np.float32)
    product = functools.partial(
        packed_matmul, bits[None, None], columns=columns, scales=jnp.array([0.5]), transpose=transpose, path="portable"
    )
    wanted = 0.5 * (x.astype(np.float64) @ (signs if transpose else signs.T))
    np.testing.assert_allclose(product(x), wanted, rtol=0, atol=2e-5)
    each = jax.vmap(product)(x)  # one vector at a time when it is traced
    np.testing.assert_allclose(each, wanted, rtol=0, atol=2e-5)
    with jax.disable_jit():
        np.testing.assert_allclose(product(x), wanted, rtol=0, atol=2e-5)
    program = jax.jit(product).lower(x).as_text()
    assert ("256xf32" in program) == (batch <= 2) == tables_pay(1, rows, columns, batch, transpose)


def test_blocks_many_vectors_and_small_outputs_are_unpacked():
    assert tables_pay(1, 512, 8, 1, False)
    assert not tables_pay(1, 511, 9000, 1, False)
    assert not tables_pay(1, 9000, 511, 1, True)
    assert not tables_pay(1, 9000, 9000, 4, False)
    assert not tables_pay(2, 9000, 9000, 1, False)


def test_derivative_of_a_product_by_tables():
    signs, bits, random = drawn(24, 40)
    x = random.standard_normal(40).astype(np.float32)
    found = jax.grad(lambda x: jnp.sum(packed_matmul(bits[None, None], x, 40, path="portable") ** 2))(jnp.asarray(x))
    np.testing.assert_allclose(found, 2 * (x.astype(np.float64) @ signs.T) @ signs, rtol=2e-5, atol=2e-4)
