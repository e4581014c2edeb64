"""Structures against dense NumPy."""

from __future__ import annotations

import json

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from unrollbit.operators import Convolution, Subsampling
from unrollbit.operators.structured import Diagonal, Structured
from unrollbit.structures import Band, Blocks, Full, Indexed, Shared, Stencil, Structure
from unrollbit.structures.drawn import Drawn
from unrollbit.structures.grid import Grid
from unrollbit.structures.rays import Rays

# few distinct sizes: every new shape is compiled anew
small, offset = st.sampled_from([1, 3]), st.integers(-4, 4)


@st.composite
def bands(draw) -> Band:
    lower, width = draw(offset), draw(st.integers(0, 4))
    return Band(draw(small), draw(small), lower, lower + width, draw(st.integers(1, 3)), draw(st.booleans()))


@st.composite
def thin_bands(draw) -> Band:
    """Bands small enough for a product of two of them."""
    lower, side = draw(st.integers(-2, 2)), draw(st.sampled_from([1, 3]))
    upper, stride = lower + draw(st.integers(0, 2)), draw(st.sampled_from([1, 2]))
    return Band(-(-side // stride), side, lower, upper, stride, draw(st.booleans()))


@st.composite
def stencils(draw) -> Stencil:
    return Stencil(draw(thin_bands()), draw(thin_bands()))


@st.composite
def indexed(draw) -> Indexed:
    m, n = draw(small), draw(small)
    bits = draw(st.lists(st.booleans(), min_size=m * n, max_size=m * n))
    return Indexed.from_mask(np.array(bits, bool).reshape(m, n))


@st.composite
def drawn_rows(draw) -> Drawn:
    n = draw(small)
    return Drawn(draw(st.integers(1, n)), n, draw(st.integers(0, 9)), draw(st.booleans()))


structures = st.one_of(
    st.builds(Full, small, small),
    st.builds(Blocks, small, small, small),
    bands(),
    bands().map(lambda band: band.T),
    stencils(),
    indexed(),
    drawn_rows(),
    st.builds(Rays, small, st.just((0.0, 40.0)), st.booleans()),
)
examples = settings(max_examples=15, deadline=None, derandomize=True)


def masked(structure: Structure, seed: int = 0) -> np.ndarray:
    """A dense matrix with this structure and no other zeros, small integers (exact in float32)."""
    values = np.random.RandomState(seed).randint(1, 9, structure.shape).astype(np.float32)
    return values * np.asarray(structure.dense_mask())


@given(structures)
@examples
def test_gather_and_scatter_are_inverse(structure):
    dense = np.stack([masked(structure, 0), masked(structure, 1)])
    core = structure.gather(jnp.asarray(dense))
    assert core.shape == (2, *structure.core_shape)
    np.testing.assert_array_equal(structure.scatter(core), dense)
    np.testing.assert_array_equal(structure.gather(dense), core)
    full = np.ones(structure.shape, np.float32)
    np.testing.assert_array_equal(structure.scatter(structure.gather(full)), structure.dense_mask())
    assert structure.size == int(np.asarray(structure.dense_mask()).sum())


@given(structures)
@examples
def test_products_and_sums(structure):
    dense = masked(structure)
    core = structure.gather(jnp.asarray(dense))
    m, n = structure.shape
    x = np.random.RandomState(1).randint(-4, 5, (2, 3, n)).astype(np.float32)
    r = np.random.RandomState(2).randint(-4, 5, (2, 3, m)).astype(np.float32)
    np.testing.assert_array_equal(structure.matvec(core, jnp.asarray(x)), x @ dense.T)
    np.testing.assert_array_equal(structure.rmatvec(core, jnp.asarray(r)), r @ dense)
    cores = jnp.stack([core, 2 * core])
    np.testing.assert_array_equal(structure.row_sum(cores), [dense.sum(1), 2 * dense.sum(1)])
    np.testing.assert_array_equal(structure.column_sum(cores), [dense.sum(0), 2 * dense.sum(0)])


@given(structures)
@examples
def test_rows_and_columns_scale_cores(structure):
    dense = masked(structure)
    core = structure.gather(jnp.asarray(dense))
    m, n = structure.shape
    left, right = np.arange(1.0, 2 * m + 1).reshape(2, m), np.arange(1.0, 2 * n + 1).reshape(2, n)
    scaled = core * structure.rows(jnp.asarray(left, jnp.float32))
    np.testing.assert_array_equal(structure.scatter(scaled), dense * left[..., :, None])
    scaled = core * structure.columns(jnp.asarray(right, jnp.float32))
    np.testing.assert_array_equal(structure.scatter(scaled), dense * right[..., None, :])


@pytest.mark.parametrize("structure", [Full(4, 6), Blocks(2, 2, 3), Band(4, 6, -1, 1)], ids=str)
def test_diagonal_factors_multiply_the_core_of_the_other(structure):
    random = np.random.RandomState(0)
    dense, rows, columns = (random.standard_normal(shape) for shape in (structure.shape, 4, 6))
    dense = np.where(structure.dense_mask(), dense, 0.0)
    W = Structured(structure.gather(jnp.asarray(dense)), structure)
    D, E = Diagonal(jnp.asarray(rows)), Diagonal(jnp.asarray(columns))
    for product in (D @ (W @ E), (D @ W) @ E):
        core = product.core(structure)
        np.testing.assert_allclose(structure.scatter(core), rows[:, None] * dense * columns, rtol=1e-6, atol=0)


@given(structures)
@examples
def test_transpose_and_gram(structure):
    dense = masked(structure)
    np.testing.assert_array_equal(structure.T.dense_mask(), dense.T > 0)
    np.testing.assert_array_equal(structure.T.T.dense_mask(), dense > 0)
    gram = structure.gram()
    assert gram.shape == (structure.shape[1],) * 2
    assert (np.asarray(gram.dense_mask()) | (dense.T @ dense == 0)).all()
    if isinstance(structure, Full | Blocks | Indexed):
        np.testing.assert_array_equal(gram.dense_mask(), dense.T @ dense > 0)


@given(structures)
@examples
def test_spec_round_trip(structure):
    spec = structure.to_spec()
    arrays = {name: value for name, value in spec.items() if isinstance(value, np.ndarray)}  # a file's arrays
    described = json.loads(json.dumps({name: value for name, value in spec.items() if name not in arrays}))
    assert 8 * sum(array.nbytes for array in arrays.values()) <= structure.mask_bits + 7
    rebuilt = Structure.from_spec(described | arrays)
    assert rebuilt == structure
    assert hash(rebuilt) == hash(structure)


@given(bands())
@examples
def test_transposed_bands_stay_free_of_mask_bits(band):
    assert band.mask_bits == band.T.mask_bits == 0
    np.testing.assert_array_equal(band.core_mask.T, band.T.core_mask)


def test_a_stencil_is_declared_structure():
    stencil = Stencil(Band(4, 4, -1, 1), Band(5, 5, -2, 0))
    assert stencil.mask_bits == 0
    assert stencil.blocks == 1
    assert Blocks(3, 2, 2).blocks == 3


def test_missing_samples_are_declared_by_their_seed():
    operator = Subsampling.random((4, 5), 7, seed=3)
    assert operator.mask() == Drawn(7, 20, 3)
    np.testing.assert_array_equal(operator.mask().dense_mask(), operator.dense() != 0)
    assert operator.mask().mask_bits == 0
    chosen = Subsampling.of((4, 5), operator.indices)
    np.testing.assert_array_equal(chosen.mask().dense_mask(), operator.mask().dense_mask())
    assert chosen.mask().mask_bits > 0


def test_indexed_charges_the_cheaper_list():
    sparse = Indexed(10, 10, (3, 7))
    assert sparse.mask_bits == 2 * 7
    assert Indexed.from_mask(np.ones((4, 4), bool)).mask_bits == 16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Full(0, 3), "m: expected a positive integer, got 0"),
        (lambda: Full(2.0, 3), "m: expected a positive integer, got 2.0"),
        (lambda: Blocks(1, True, 2), "block_m: expected a positive integer, got True"),
        (lambda: Band(3, 3, 2, 1), "expected lower <= upper, got lower = 2, upper = 1"),
        (lambda: Band(3, 3, 0.5, 1), "expected integer lower and upper"),
        (lambda: Band(3, 3, 0, 1, stride=0), "stride: expected a positive integer"),
        (lambda: Rays(3, ()), "finite angles"),
        (lambda: Rays(3, (float("nan"),)), "finite angles"),
        (lambda: Drawn(4, 3, 0), "at most as many rows as columns"),
        (lambda: Drawn(2, 3, -1), "seed: expected an integer"),
        (lambda: Shared((3,), (5,)), "does not fit"),
        (lambda: Shared((3,), (10**15,)), "kernel_shape: expected at most"),
        (lambda: Shared((3,), (0,)), "kernel_shape: expected a positive integer"),
        (lambda: Shared((4,), (2,), "mirror"), "boundary: expected"),
        (lambda: Shared((4,), (2,), stride=3), "does not divide"),
        (lambda: Indexed(2, 2, (1, 1)), "strictly increasing"),
        (lambda: Indexed(2, 2, (4,)), r"in \[0, 4\)"),
        (lambda: Indexed.from_mask(np.ones(3, bool)), "2-D boolean"),
        (lambda: Indexed.from_mask(np.ones((3, 3))), "2-D boolean"),
        (lambda: Structure.from_spec({"kind": "Sparse"}), "unknown kind of Structure 'Sparse'"),
        (lambda: Structure.from_spec({"kind": ["Full"]}), "unknown kind of Structure"),
        (lambda: Structure.from_spec({"kind": "Full", "rows": 3}), "Full has no field 'rows'; its fields: m, n"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_stencils_are_of_bands():
    with pytest.raises(TypeError, match="Stencil: vertical: expected a Band, such as Band"):
        Stencil(Full(3, 3), Band(3, 3, 0, 0))


SHARED = [
    Shared((6,), (3,)),
    Shared((6,), (4,), "zero", 2),
    Shared((4, 6), (3, 2)),
    Shared((4, 4), (2, 3), "zero"),
    Shared((4, 6), (2, 2), "circular", 2),
]


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize("shared", SHARED, ids=str)
def test_shared_taps_are_the_matrix_of_a_convolution(shared):
    """Against the dense matrix; all numbers are small integers, exact in float32."""
    random = np.random.RandomState(0)
    core = random.randint(1, 9, shared.core_shape).astype(np.float32)
    dense = np.asarray(shared.scatter(jnp.asarray(core)))
    assert shared.links == (dense != 0).sum()
    assert shared.size == core.size
    np.testing.assert_array_equal(np.asarray(shared.dense_mask()), dense != 0)
    np.testing.assert_allclose(shared.gather(jnp.asarray(dense)), core, rtol=1e-6)
    m, n = shared.shape
    x, r = (random.randint(-4, 5, (2, size)).astype(np.float32) for size in (n, m))
    np.testing.assert_array_equal(shared.matvec(jnp.asarray(core), jnp.asarray(x)), x @ dense.T)
    np.testing.assert_array_equal(shared.rmatvec(jnp.asarray(core), jnp.asarray(r)), r @ dense)
    cores = jnp.stack([core, 2 * core])
    np.testing.assert_array_equal(shared.row_sum(cores), [dense.sum(1), 2 * dense.sum(1)])
    np.testing.assert_array_equal(shared.column_sum(cores), [dense.sum(0), 2 * dense.sum(0)])
    np.testing.assert_array_equal(np.asarray(shared.T.dense_mask()), dense.T != 0)
    assert (np.asarray(shared.gram().dense_mask()) | (dense.T @ dense == 0)).all()
    spec = json.loads(json.dumps(shared.to_spec()))
    assert Structure.from_spec(spec) == shared


def test_gathering_shared_taps_gives_the_nearest_kernel():
    """The mean over the entries of each tap minimises the Frobenius error: checked against least squares."""
    shared = Shared((5,), (3,), "zero")
    matrix = np.random.RandomState(3).standard_normal((5, 5))
    basis = np.stack([np.asarray(shared.scatter(jnp.eye(3)[k])).ravel() for k in range(3)], 1)
    wanted = np.linalg.lstsq(basis, matrix.ravel(), rcond=None)[0]
    np.testing.assert_allclose(shared.gather(jnp.asarray(matrix)), wanted, atol=1e-5)


def test_wider_kernels_hold_the_convolution_they_start_from():
    convolution = Convolution.of([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], (6, 7))
    wide = convolution.shared_taps(wider=1)
    assert wide.kernel_shape == (4, 5)
    np.testing.assert_array_equal(
        wide.scatter(wide.of_kernel(convolution.kernel, convolution.grid)), convolution.dense()
    )
    with pytest.raises(ValueError, match="are not those of"):
        convolution.shared_taps().of_kernel(jnp.ones((3, 3)), Grid((6, 7)))
    with pytest.raises(ValueError, match="are not those of"):
        convolution.shared_taps().of_kernel(jnp.ones((2, 3)), Grid((7, 6)))
    with pytest.raises(ValueError, match="take a global or layer scale"):
        wide.rows(jnp.ones(42))
