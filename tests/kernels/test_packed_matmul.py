"""Packed products: every path against float64, their derivatives, batching rules and errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from unrollbit import packed_matmul
from unrollbit.kernels import kernels, native
from unrollbit.signbits import pack_signs

PATHS = [path for path in ("portable", *native.LEVELS) if path in kernels().available]
TOLERANCE = 2e-6


# Edges of tiles, words, panels and strips: 32 columns, 512 columns, 2048 columns, 8192 columns, 1024 rows.
SHAPES = [(1, 1, 1), (1, 7, 9), (1, 32, 32), (1, 33, 31), (1, 65, 513), (1, 40, 2049), (1, 1030, 70), (1, 12, 8200)]
SHAPES += [(5, 3, 17), (2, 130, 129), (3, 32, 600)]


@pytest.mark.long
@pytest.mark.grid(14)
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_both_directions_against_float64(path, shape, drawn, by_hand, distance):
    blocks, rows, columns = shape
    signs, bits = drawn(0, *shape)
    for transpose in (False, True):
        for batch in (1, 9) if path == "portable" else (1, 2, 3, 8, 9, 17):
            size = blocks * (rows if transpose else columns)
            x = np.random.RandomState(batch).standard_normal((batch, size)).astype(np.float32)
            found = packed_matmul(jnp.asarray(bits), jnp.asarray(x), columns, transpose=transpose, path=path)
            assert found.dtype == jnp.float32
            assert distance(found, by_hand(signs[0], x, transpose)) <= TOLERANCE


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(
    blocks=st.integers(1, 4),
    rows=st.integers(1, 70),
    columns=st.integers(1, 90),
    batch=st.integers(0, 11),
    planes=st.integers(1, 3),
    masked=st.booleans(),
    scale=st.sampled_from(["none", "plane", "row", "column"]),
    transpose=st.booleans(),
    path=st.sampled_from(PATHS[-1:] * 4 + PATHS[:2]),  # every example compiles; portable ones for long
    seed=st.integers(0, 2**16),
)
def test_planes_masks_and_scales(
    blocks, rows, columns, batch, planes, masked, scale, transpose, path, seed, drawn, by_hand
):
    random = np.random.RandomState(seed)
    signs, bits = drawn(seed, blocks, rows, columns, planes)
    m, n = blocks * rows, blocks * columns
    shape = {"none": None, "plane": (planes,), "row": (planes, m, 1), "column": (planes, 1, n)}[scale]
    scales = None if shape is None else random.uniform(0.5, 2.0, shape).astype(np.float32)
    core = np.zeros((blocks, rows, columns))
    for plane in range(planes):
        own = 1.0 if scales is None else scales[plane]
        if scale == "row":
            own = own.reshape(blocks, rows, 1)
        elif scale == "column":
            own = own.reshape(blocks, 1, columns)
        core += own * signs[plane]
    exists = random.rand(blocks, rows, columns) < 0.5
    core = core * exists if masked else core
    x = random.standard_normal((batch, m if transpose else n)).astype(np.float32)
    scales = None if scales is None else jnp.asarray(scales)
    mask = jnp.asarray(pack_signs(-1.0 * exists)) if masked else None
    options = {"scales": scales, "exists": mask, "transpose": transpose, "path": path}
    found = jax.jit(lambda bits, x: packed_matmul(bits, x, columns, **options))(jnp.asarray(bits), jnp.asarray(x))
    wanted = by_hand(core, x, transpose)
    assert found.shape == wanted.shape
    # entries that do not exist cancel: errors are those of the sum over all columns
    assert_allclose(found, wanted, atol=3e-6 * planes * 2 * np.sqrt(m + n) * max(1.0, np.abs(x).max(initial=0)))


@pytest.mark.parametrize("path", PATHS)
def test_padding_bits_do_not_matter(path, drawn, by_hand, distance):
    signs, bits = drawn(1, 1, 5, 11)
    spoilt = bits | 0b11111000 * (np.arange(2) == 1).astype(np.uint8)  # bits 3 to 7 of the second byte: columns 11-15
    for transpose, size in ((False, 11), (True, 5)):
        for batch in (1, 4):
            x = jnp.asarray(np.random.RandomState(2).standard_normal((batch, size)), jnp.float32)
            found = packed_matmul(jnp.asarray(spoilt), x, 11, transpose=transpose, path=path)
            assert distance(found, by_hand(signs[0], np.asarray(x), transpose)) <= TOLERANCE


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("transpose", [False, True])
def test_derivatives_are_products_with_the_same_bits(path, transpose, drawn, by_hand, distance):
    signs, bits = drawn(3, 2, 13, 21)
    bits = jnp.asarray(bits)
    x = jnp.asarray(np.random.RandomState(4).standard_normal((3, 2 * (13 if transpose else 21))), jnp.float32)
    weight = np.random.RandomState(5).standard_normal((3, 2 * (21 if transpose else 13))).astype(np.float32)

    def product(x):
        return packed_matmul(bits, x, 21, transpose=transpose, path=path)

    gradient = jax.jit(jax.grad(lambda x: jnp.sum(weight * product(x))))(x)
    assert distance(gradient, by_hand(signs[0], weight, not transpose)) <= TOLERANCE
    tangent = jax.jvp(product, (x,), (2 * x,))[1]
    assert distance(tangent, 2 * by_hand(signs[0], np.asarray(x), transpose)) <= TOLERANCE


def test_second_derivatives(drawn):
    signs, bits = drawn(3, 1, 6, 5)
    product = jax.jit(lambda x: 0.5 * jnp.sum(packed_matmul(jnp.asarray(bits), x, 5) ** 2))
    assert_allclose(jax.hessian(product)(jnp.ones(5)), signs[0, 0].T @ signs[0, 0], atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("path", PATHS)
def test_batching_over_vectors_matrices_and_both(path, drawn, by_hand, distance):
    signs, bits = drawn(6, 1, 9, 20, planes=4)
    bits = jnp.asarray(bits)[:, None]  # four matrices of one plane
    x = jnp.asarray(np.random.RandomState(7).standard_normal((4, 3, 20)), jnp.float32)

    def product(bits, x):
        return packed_matmul(bits, x, 20, path=path)

    every = jax.vmap(product)(bits, x)
    vectors = jax.vmap(product, in_axes=(None, 1), out_axes=1)(bits[0], x)
    matrices = jax.vmap(product, in_axes=(0, None))(bits, x[0])
    for k in range(4):
        assert distance(every[k], by_hand(signs[k], np.asarray(x[k]), False)) <= TOLERANCE
        assert distance(vectors[k], by_hand(signs[0], np.asarray(x[k]), False)) <= TOLERANCE
        assert distance(matrices[k], by_hand(signs[k], np.asarray(x[0]), False)) <= TOLERANCE


@pytest.mark.parametrize("path", PATHS)
def test_inside_a_scan_over_stacked_bits(path, drawn, distance):
    signs, bits = drawn(8, 1, 16, 16, planes=5)
    x = jnp.ones((2, 16), jnp.float32)

    @jax.jit
    def run(bits, x):
        return jax.lax.scan(lambda x, own: (packed_matmul(own[None], x, 16, path=path) / 4, None), x, bits)[0]

    wanted = np.ones((2, 16))
    for k in range(5):
        wanted = wanted @ signs[k, 0].T / 4
    assert distance(run(jnp.asarray(bits), x), wanted) <= 1e-5


def test_all_paths_agree(drawn):
    _, bits = drawn(9, 1, 50, 80)
    x = jnp.asarray(np.random.RandomState(10).standard_normal((4, 80)), jnp.float32)
    found = [packed_matmul(bits, x, 80, path=path) for path in PATHS]
    for other in found[1:]:
        assert_allclose(other, found[0], rtol=1e-5, atol=1e-4)


@pytest.mark.long
def test_empty_batches(drawn):
    _, bits = drawn(12, 1, 3, 5)
    for path in PATHS:
        for transpose, size, other in ((False, 5, 3), (True, 3, 5)):
            for shape in ((0,), (2, 0), (0, 3)):
                x = jnp.zeros((*shape, size))
                found = packed_matmul(jnp.asarray(bits), x, 5, transpose=transpose, path=path)
                assert found.shape == (*shape, other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bits": jnp.zeros((1, 1, 4, 2), jnp.int32)}, TypeError, "uint8"),
        ({"bits": jnp.zeros((1, 4, 2), jnp.uint8)}, ValueError, r"\(planes, blocks, rows, 2\)"),
        ({"bits": jnp.zeros((1, 1, 4, 3), jnp.uint8)}, ValueError, "for 10 columns"),
        ({"x": jnp.zeros(10, jnp.complex64)}, TypeError, "stack real and imaginary parts"),
        ({"x": ["a"] * 10}, TypeError, "expected an array of real numbers"),
        ({"x": jnp.zeros((2, 9))}, ValueError, "10 entries"),
        ({"x": jnp.zeros(())}, ValueError, "10 entries"),
        ({"columns": 0}, ValueError, "columns >= 1"),
        ({"columns": True}, ValueError, "columns >= 1"),
        ({"scales": jnp.ones(3)}, ValueError, "expected scales of shape"),
        ({"exists": jnp.zeros((1, 4, 3), jnp.uint8)}, ValueError, "expected a mask"),
        ({"path": "avx9"}, ValueError, "expected a path among"),
    ],
)
def test_wrong_arguments_say_what_was_expected(change, error, message):
    arguments = {"bits": jnp.zeros((1, 1, 4, 2), jnp.uint8), "x": jnp.zeros(10), "columns": 10} | change
    with pytest.raises(error, match=message):
        packed_matmul(arguments.pop("bits"), arguments.pop("x"), arguments.pop("columns"), **arguments)


@pytest.mark.parametrize("path", kernels().available)
def test_rows_without_entries_are_zero(path) -> None:
    """Of several planes too, whose terms cancel plane by plane; half-precision scales are widened first."""
    random = np.random.RandomState(0)
    bits, mask = pack_signs(random.standard_normal((2, 1, 64, 96))), random.random_sample((1, 64, 96)) < 0.5
    mask[0, 5] = False
    exists = pack_signs(np.where(mask, -1.0, 1.0))
    x = jnp.asarray(1e3 * random.standard_normal(96), jnp.float32)
    out = packed_matmul(bits, x, 96, scales=np.array([0.7, 0.3], np.float32), exists=exists, path=path)
    assert out[5] == 0
    small = packed_matmul(bits, x, 96, scales=np.array([6e-8, 6e-8], np.float16), exists=exists, path=path)
    assert small.any()
