"""Sign planes as physics: published distortions, brute force, products on bits against NumPy's own unpacking."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings

from unrollbit.operators import BlockDiagonal, Dense, gaussian, gaussian_blocks
from unrollbit.operators.structured import Structured
from unrollbit.packed_operators import sign_planes
from unrollbit.packed_operators.packed_signs import PackedSigns, packed_mask
from unrollbit.packed_operators.planes import plane_scales, uniform_signs
from unrollbit.signbits import pack_signs
from unrollbit.structures import Blocks, Full, Indexed, Structure

few = settings(max_examples=40, deadline=None, derandomize=True)

both = jax.jit(lambda A, x, y: (A(x), A.T(y)))


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def by_hand(A: PackedSigns) -> np.ndarray:
    """The dense matrix in float64, bits unpacked by NumPy, core placed by SciPy."""
    last = A.structure.core_shape[-1]
    signs = 1.0 - 2.0 * np.unpackbits(np.asarray(A.bits), axis=-1, count=last, bitorder="little")
    dense: list[Any] = [scipy.linalg.block_diag(*plane) if plane.ndim == 3 else plane for plane in signs]
    scales = np.asarray(A.scales, np.float64)
    shaped = {"row": scales[:, :, None], "column": scales[:, None]} if scales.ndim > 1 else {}
    factors = shaped.get(A.scale, scales.reshape(len(scales), -1, 1))
    return np.sum(factors * np.stack(dense), axis=0) * np.asarray(A.structure.dense_mask())


def squared_error(matrix: np.ndarray, planes: int, **options) -> np.ndarray:
    signs, unit = uniform_signs(matrix, planes, **options)
    assert signs.shape == (planes, *matrix.shape)
    assert set(np.unique(signs)) <= {-1.0, 1.0}
    levels = np.tensordot(plane_scales(planes), signs.astype(np.float64), 1)
    return ((matrix - unit * levels) ** 2).sum(-2 if options else (-2, -1))


def test_distortion_of_gaussian_entries_is_that_of_maxs_table() -> None:
    """Max 1960, table II: mean squared error of equally spaced levels for a normal variable."""
    entries = numbers(60_000, 1)
    energy = np.sum(entries**2)
    for planes, published in ((1, 0.3634), (2, 0.1188), (3, 0.03744), (4, 0.01154), (5, 0.003495)):
        assert squared_error(entries, planes) / energy == pytest.approx(published, rel=0.03)


@given(m=st.integers(2, 6), planes=st.integers(1, 3), seed=st.integers(0, 10_000))
@few
def test_error_is_that_of_the_best_uniform_quantiser(m: int, planes: int, seed: int) -> None:
    column = numbers(m, 1, seed=seed)
    levels = np.array([np.dot(plane_scales(planes), s) for s in itertools.product((-1, 1), repeat=planes)])
    np.testing.assert_array_equal(np.diff(np.sort(levels)), 2.0)  # equally spaced
    units = np.linspace(1e-3, 1.5 * np.abs(column).max(), 3000)
    distances = (column[:, :, None] - units[:, None] * levels) ** 2  # entry, unit, level
    best = distances.min(-1).sum(0).min()
    found = squared_error(column, planes).item()
    energy = np.sum(column**2)
    assert found >= best - 1e-3 * energy
    assert found <= best + 1e-3 * energy


def test_every_plane_lowers_the_error_by_about_five_decibels() -> None:
    A = np.asarray(gaussian(64, 128).dense(), np.float64)
    errors = [10 * np.log10(squared_error(A, planes, by_column=True).sum() / np.sum(A**2)) for planes in range(1, 8)]
    gains = -np.diff(errors)
    assert errors[0] == pytest.approx(10 * np.log10(1 - 2 / np.pi), abs=0.3)
    error = np.asarray(sign_planes(gaussian(64, 128), 3).dense(), np.float64) - A
    assert 10 * np.log10(np.sum(error**2) / np.sum(A**2)) == pytest.approx(errors[2], abs=1e-3)
    # 4.9 dB for the second plane (Max's table), rising to 6.02; columns of 64 entries have no tails: a little more
    assert ((gains > 4.5) & (gains < 6.25)).all()


def test_each_column_has_a_scale_of_its_own() -> None:
    sizes = np.geomspace(1e-3, 1e3, 7)
    matrix = numbers(40, 7)
    np.testing.assert_allclose(
        squared_error(matrix * sizes, 3, by_column=True), sizes**2 * squared_error(matrix, 3, by_column=True), rtol=1e-9
    )
    each = squared_error(matrix * sizes, 3, by_column=True).sum()
    assert each < 0.5 * squared_error(matrix * sizes, 3)
    A = sign_planes(Dense.of(matrix * sizes), 3)
    ratio = np.asarray(A.scales)
    np.testing.assert_allclose(ratio[:2], ratio[1:] * 2, rtol=1e-6)
    assert (A.scale, A.scales.shape, A.exists) == ("column", (3, 7), None)


def test_blocks_are_quantised_block_by_block() -> None:
    blocks = numbers(3, 5, 4) * np.array([1.0, 10.0, 0.1])[:, None, None]
    A = sign_planes(BlockDiagonal.of(blocks), 2)
    assert A.mask() == Blocks(3, 5, 4)
    assert A.bits.shape == (2, 3, 5, 1)
    whole = by_hand(A)
    for b in range(3):
        own = by_hand(sign_planes(Dense.of(blocks[b]), 2))
        np.testing.assert_allclose(whole[5 * b : 5 * b + 5, 4 * b : 4 * b + 4], own, rtol=1e-6)


def test_a_column_of_zeros_stays_near_zero() -> None:
    matrix = numbers(6, 4)
    matrix[:, 2] = 0.0
    dense = np.asarray(sign_planes(Dense.of(matrix), 2).dense())
    assert np.isfinite(dense).all()
    np.testing.assert_allclose(dense[:, 2], 0.0, atol=1e-20)


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "planes"),
    [
        (lambda: gaussian(5, 7), 3),
        (lambda: gaussian(24, 33), 2),
        (lambda: gaussian_blocks(3, 4, 9), 3),
    ],
)
def test_products_on_the_bits_equal_dense_ones(make, planes: int) -> None:
    A = sign_planes(make(), planes)
    expected = by_hand(A)
    np.testing.assert_allclose(A.dense(), expected, rtol=1e-5, atol=1e-7)
    assert np.linalg.norm(expected - make().dense()) < 0.8 * np.linalg.norm(expected)
    m, n = A.shape
    x, y = numbers(2, 3, n, seed=1).astype(np.float32), numbers(2, 3, m, seed=2).astype(np.float32)
    image, back = both(A, x, y)
    np.testing.assert_allclose(image, x @ expected.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(back, y @ expected, rtol=1e-4, atol=1e-5)
    prepared = A.prepare()
    assert isinstance(prepared, Structured)
    np.testing.assert_allclose(prepared(jnp.asarray(x)), image, rtol=1e-4, atol=1e-5)


STRUCTURES: dict[str, Structure] = {
    "full": Full(9, 21),
    "full, one row": Full(1, 8),
    "full, many rows": Full(70, 5),  # more than one tile, and rows that fill none
    "blocks": Blocks(3, 3, 7),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 21)) < 0.4),
}


@pytest.mark.long
@pytest.mark.grid(5)
@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *(("full", scale) for scale in ("none", "global", "layer", "row", "column")),
        *(("full, many rows", scale) for scale in ("row", "column")),
        *(("blocks", scale) for scale in ("none", "layer", "row", "column")),
        *(("indexed", scale) for scale in ("row", "column")),
        ("full, one row", "column"),
    ],
)
def test_dense_and_column_rms_for_every_scale_and_structure(name: str, scale) -> None:
    structure = STRUCTURES[name]
    m, n = structure.shape
    planes = 1 if scale == "none" else 3
    shape = {"row": (planes, m), "column": (planes, n)}.get(scale, (planes,))
    scales = np.ones(shape) if scale == "none" else np.random.RandomState(1).uniform(0.2, 2.0, shape)
    bits = pack_signs(numbers(planes, *structure.core_shape, seed=3))
    A = PackedSigns(jnp.asarray(bits), jnp.asarray(scales, jnp.float32), packed_mask(structure), structure, scale)
    expected = by_hand(A)
    np.testing.assert_allclose(A.dense(), expected, rtol=1e-5, atol=1e-6)
    rms = np.sqrt(np.mean(np.sum(expected**2, axis=0)))
    assert float(jax.jit(lambda A: A.column_rms())(A)) == pytest.approx(rms, rel=1e-5)


def test_bits_of_sign_planes_by_hand() -> None:
    A = sign_planes(gaussian(6, 13), 3)
    assert A.resident_bits() == 3 * 6 * 16 + 32 * 3 * 13  # rows padded to bytes
    assert A.physics_bits() == A.resident_bits()
    blocks = sign_planes(gaussian_blocks(2, 3, 4), 2)
    assert blocks.resident_bits() == 2 * 6 * 8 + 32 * 2 * 8
