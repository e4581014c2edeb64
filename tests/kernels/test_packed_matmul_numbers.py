"""Packed products of numbers of every dtype and magnitude."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from unrollbit import packed_matmul
from unrollbit.kernels import kernels, native
from unrollbit.signbits import pack_signs

PATHS = [path for path in ("portable", *native.LEVELS) if path in kernels().available]
TOLERANCE = 2e-6


ARRAYS = {  # the same whole numbers, and the dtype of the product
    "float16": (lambda x: x.astype(np.float16), jnp.float16),
    "bfloat16": (lambda x: jnp.asarray(x, jnp.bfloat16), jnp.bfloat16),
    "big-endian": (lambda x: x.astype(">f4"), jnp.float32),
    "big-endian float64": (lambda x: x.astype(">f8"), jnp.float32),
    "int8": (lambda x: x.astype(np.int8), jnp.float32),
    "big-endian int16": (lambda x: x.astype(">i2"), jnp.float32),
    "columns first": (lambda x: np.asfortranarray(x), jnp.float32),
    "every other": (lambda x: np.repeat(x, 2, axis=-1)[:, ::2], jnp.float32),
    "reversed": (lambda x: x[:, ::-1].copy()[:, ::-1], jnp.float32),
    "a list": (lambda x: x.tolist(), jnp.float32),
}


@pytest.mark.long
@pytest.mark.parametrize("path", [path for path in PATHS if path != "plain"])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("name", ARRAYS)
def test_other_dtypes_byte_orders_and_layouts_give_the_same_product(name, transpose, path, drawn, by_hand):
    signs, bits = drawn(9, 1, 50, 80)
    x = np.random.RandomState(10).randint(-3, 4, (4, 50 if transpose else 80)).astype(np.float32)
    make, dtype = ARRAYS[name]
    found = packed_matmul(np.asfortranarray(bits), make(x), 80, transpose=transpose, path=path)
    assert found.dtype == dtype
    assert np.array_equal(np.asarray(found, np.float32), by_hand(signs[0], x, transpose))


def test_narrow_floats_are_summed_in_float32():
    """4000 ones, of which bfloat16 would keep 256 and float16 2048."""
    bits = np.zeros((1, 1, 1, 500), np.uint8)
    for dtype in (jnp.float16, jnp.bfloat16):
        ones = jnp.ones((1, 4000), dtype)
        for path in PATHS:
            assert packed_matmul(bits, ones, 4000, path=path)[0, 0] == dtype(4000)


@pytest.mark.parametrize("dtype", [">f4", np.float16, np.int32])
def test_scales_and_masks_of_other_dtypes(dtype, drawn):
    signs, bits = drawn(9, 1, 6, 10, planes=2)
    exists = np.random.RandomState(1).rand(1, 6, 10) < 0.7
    scales = np.array([3, 2], dtype)
    found = packed_matmul(bits, np.ones(10), 10, scales=scales, exists=pack_signs(-1.0 * exists))
    assert np.array_equal(found, ((3 * signs[0, 0] + 2 * signs[1, 0]) * exists[0]).sum(1))


def test_float64_is_multiplied_in_float64(drawn, by_hand):
    signs, bits = drawn(9, 1, 50, 80)
    x = np.random.RandomState(10).standard_normal((4, 80))
    with jax.enable_x64(True):
        found = packed_matmul(bits, x, 80)
        assert found.dtype == jnp.float64
        assert_allclose(found, by_hand(signs[0], x, False), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "portable"])
def test_not_a_number_reaches_the_rows_that_see_it(path, drawn):
    _, bits = drawn(11, 2, 40, 40)
    x = jnp.ones((1, 80)).at[0, 3].set(jnp.nan)
    found = np.asarray(packed_matmul(jnp.asarray(bits), x, 40, path=path))[0]
    assert np.isnan(found[:40]).all()
    assert np.isfinite(found[40:]).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("transpose", [False, True])
def test_whole_numbers_give_exact_sums(path, transpose, drawn, by_hand):
    signs, bits = drawn(13, 1, 140, 530)
    x = np.random.RandomState(14).randint(-1000, 1001, (1, 140 if transpose else 530)).astype(np.float32)
    found = packed_matmul(jnp.asarray(bits), jnp.asarray(x), 530, transpose=transpose, path=path)
    assert_allclose(found, by_hand(signs[0], x, transpose), rtol=0, atol=0)


@pytest.mark.long
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("largest", [1e-30, 1e-20, 1e-6, 1e6, 1e30])
def test_inputs_of_all_magnitudes(path, transpose, largest, drawn, by_hand, distance):
    """One input outweighs the others, or all are near the ends of float32's range."""
    signs, bits = drawn(15, 2, 150, 600)
    x = np.random.RandomState(16).standard_normal((1, 2 * (150 if transpose else 600)))
    single = x.copy()
    single[0, 70] = 1e5
    for inputs in (largest * x, largest * single / 1e5):
        inputs = inputs.astype(np.float32)
        found = packed_matmul(jnp.asarray(bits), jnp.asarray(inputs), 600, transpose=transpose, path=path)
        assert distance(found, by_hand(signs[0], inputs, transpose)) <= TOLERANCE


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("batch", [1, 17])
def test_worst_case_of_fixed_point_one_entry_outweighs_those_that_share_its_quantum(
    path, transpose, batch, drawn, by_hand, distance
):
    signs, bits = drawn(18, 1, 512, 512)
    x = np.full((batch, 512), 1.18e-7, np.float32)  # below half a quantum: they are lost
    x[:, 100] = 1
    found = packed_matmul(jnp.asarray(bits), jnp.asarray(x), 512, transpose=transpose, path=path)
    assert distance(found, by_hand(signs[0], x, transpose)) <= 3e-6


@pytest.mark.parametrize("path", [path for path in PATHS if path != "portable"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38])
def test_inputs_without_bound(path, value, drawn):
    signs, bits = drawn(17, 1, 40, 530)
    x = jnp.zeros((1, 530)).at[0, 5].set(value).at[0, 520].set(value)  # in two chunks
    found = np.asarray(packed_matmul(jnp.asarray(bits), x, 530, path=path))[0]
    agree = signs[0, 0, :, 5] == signs[0, 0, :, 520]
    assert_allclose(found[agree], signs[0, 0, agree, 5] * np.sign(value) * np.inf)
    assert np.isnan(found[~agree]).all() if np.isinf(value) else not found[~agree].any()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("transpose", [False, True])
def test_one_input_close_to_the_largest_number(path, transpose):
    x = jnp.zeros((1, 8)).at[0, 0].set(1.7014112e38)
    found = packed_matmul(jnp.zeros((1, 1, 8, 1), jnp.uint8), x, 8, transpose=transpose, path=path)
    np.testing.assert_allclose(found, 1.7014112e38, rtol=1e-6)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "portable"])
@pytest.mark.parametrize("transpose", [False, True])
def test_vectors_of_a_batch_do_not_disturb_each_other(path, transpose, drawn, by_hand, distance):
    """More vectors and columns than are held at a time; two of the vectors cannot be had in fixed point."""
    signs, bits = drawn(19, 1, 300, 2100)
    x = np.random.RandomState(20).standard_normal((37, 300 if transpose else 2100)).astype(np.float32)
    x[5, 7], x[20, :] = np.nan, 1e-32 * x[20]
    found = np.asarray(packed_matmul(jnp.asarray(bits), jnp.asarray(x), 2100, transpose=transpose, path=path))
    assert np.isnan(found[5]).all()
    for v in set(range(37)) - {5}:
        assert distance(found[v : v + 1], by_hand(signs[0], x[v : v + 1], transpose)) <= TOLERANCE
