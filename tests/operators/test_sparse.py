"""Sparse matrices against SciPy: products, derivatives, what is held and stored, and networks of them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.experimental import sparse as jax_sparse

from unrollbit import ISTA, OneBit, Stage, Ternary, Unrolled, count_bits, fit, load, pack, solve
from unrollbit.algorithms import FISTA
from unrollbit.formats import Anchored, Designed, LittleBit, OneBitSVID
from unrollbit.operators import Dense, LinearOperator, Sparse, as_operator
from unrollbit.problems import Problem
from unrollbit.structures import Pattern, Structure

RNG = np.random.RandomState(0)
MATRIX = scipy.sparse.random_array((30, 40), density=0.1, rng=np.random.default_rng(0), format="csr")
DENSE = MATRIX.toarray().astype(np.float32)


def sparse_matrix(m: int, n: int, density: float, seed: int) -> np.ndarray:
    random = np.random.RandomState(seed)
    matrix = random.standard_normal((m, n)) * (random.uniform(size=(m, n)) < density)
    matrix[random.randint(m)] = random.standard_normal(n)  # a long row among short ones
    return matrix


@pytest.mark.long
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    m=st.integers(1, 30),
    n=st.integers(1, 30),
    density=st.floats(0, 0.6),
    batch=st.sampled_from([(), (1,), (3,), (2, 3)]),
    seed=st.integers(0, 1000),
    wide=st.booleans(),
)
def test_products_equal_those_of_scipy(m, n, density, batch, seed, wide) -> None:
    matrix = sparse_matrix(m, n, density, seed)
    with jax.enable_x64(wide):
        A = Sparse.of(scipy.sparse.coo_array(matrix if wide else matrix.astype(np.float32)))
        dtype, tolerance = (np.float64, 1e-12) if wide else (np.float32, 1e-5)
        x, y = (np.random.RandomState(seed + 1).standard_normal((*batch, size)).astype(dtype) for size in (n, m))
        image, back = np.asarray(A(x)), np.asarray(A.T(y))
    assert (image.dtype, image.shape, back.shape) == (dtype, (*batch, m), (*batch, n))
    scale = np.linalg.norm(matrix, 2)
    np.testing.assert_allclose(image, x @ matrix.T, atol=tolerance * scale * np.sqrt(n))
    np.testing.assert_allclose(back, y @ matrix, atol=tolerance * scale * np.sqrt(m))
    left, right = np.sum(image * y, dtype=np.float64), np.sum(back * x, dtype=np.float64)
    assert abs(left - right) <= tolerance * scale * np.linalg.norm(x) * np.linalg.norm(y)


@pytest.mark.long
@pytest.mark.parametrize("transpose", [False, True])
def test_derivatives_equal_those_of_the_dense_product(transpose: bool) -> None:
    A = Sparse.of(MATRIX)
    x = jnp.asarray(RNG.standard_normal((3, 30 if transpose else 40)), jnp.float32)
    pattern = A.structure

    def cubes(entries, x, product: Callable):
        return (product(entries, x) ** 3).sum()

    def listed(entries, x):
        return pattern.rmatvec(entries, x) if transpose else pattern.matvec(entries, x)

    def dense(entries, x):
        matrix = pattern.scatter(entries)
        return x @ (matrix if transpose else matrix.T)

    for argument in (0, 1):
        found = jax.jit(jax.grad(cubes, argument), static_argnums=2)(A.entries, x, listed)
        np.testing.assert_allclose(found, jax.grad(cubes, argument)(A.entries, x, dense), rtol=1e-3, atol=1e-3)
    each = jax.vmap(jax.grad(cubes, 0), (None, 0, None))
    np.testing.assert_allclose(each(A.entries, x, listed), each(A.entries, x, dense), rtol=1e-3, atol=1e-3)
    curvature = [
        jax.jvp(jax.grad(lambda e, p=p: cubes(e, x, p)), (A.entries,), (A.entries,))[1] for p in (listed, dense)
    ]
    np.testing.assert_allclose(*curvature, rtol=1e-3, atol=1e-3)


FORMS: dict[str, Callable] = {
    "csr": lambda: MATRIX,
    "csc": lambda: MATRIX.tocsc(),
    "coo, entries twice": lambda: scipy.sparse.coo_array(
        (np.tile(MATRIX.tocoo().data / 2, 2), tuple(np.tile(index, 2) for index in MATRIX.tocoo().coords)), MATRIX.shape
    ),
    "a matrix, not an array": lambda: scipy.sparse.lil_matrix(DENSE),
    "DIA": lambda: MATRIX.todia(),
    "BCOO": lambda: jax_sparse.BCOO.fromdense(jnp.asarray(DENSE)),
    "BCOO, padded": lambda: jax_sparse.BCOO.fromdense(jnp.asarray(DENSE), nse=200),
    "BCSR": lambda: jax_sparse.BCSR.fromdense(jnp.asarray(DENSE)),
    "CSR": lambda: jax_sparse.CSR.fromdense(jnp.asarray(DENSE)),
    "COO": lambda: jax_sparse.COO.fromdense(jnp.asarray(DENSE)),
}


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_every_form_stays_sparse(form: str) -> None:
    A = as_operator(FORMS[form]())
    assert isinstance(A, Sparse)
    np.testing.assert_allclose(A.dense(), DENSE, rtol=1e-6)
    assert as_operator(FORMS[form](), matrix=True) == Dense.of(np.asarray(A.dense()))


def test_complex_ones_stay_sparse() -> None:
    diagonal = np.array([1 + 1j, 2j, 3.0])
    A, both = as_operator(scipy.sparse.diags(diagonal)), as_operator(scipy.sparse.diags(diagonal), unknowns="complex")
    x, z = RNG.standard_normal(3).astype(np.float32), RNG.standard_normal(3) + 1j * RNG.standard_normal(3)
    np.testing.assert_allclose(A(x), np.concatenate([(diagonal * x).real, (diagonal * x).imag]), rtol=1e-6)
    stacked = np.concatenate([z.real, z.imag]).astype(np.float32)
    np.testing.assert_allclose(both(stacked), np.concatenate([(diagonal * z).real, (diagonal * z).imag]), rtol=1e-5)
    assert A.complex_physics
    assert A.resident_bits() < both.resident_bits() < 64 * 32


def test_torch_tensors_stay_sparse() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for tensor in (torch.tensor(DENSE).to_sparse(), torch.tensor(DENSE).to_sparse_csr()):
        assert as_operator(tensor) == Sparse.of(MATRIX)


def test_it_is_a_value() -> None:
    A, same = Sparse.of(MATRIX), Sparse.of(DENSE)
    assert A == same == copy.deepcopy(A) == pickle.loads(pickle.dumps(A)) == LinearOperator.from_spec(A.to_spec())
    assert hash(A) == hash(same)
    assert Sparse.of(2 * MATRIX) != A
    assert A.structure == same.structure == Structure.from_spec(A.structure.to_spec())
    assert A.structure != Pattern.of(DENSE.T != 0)
    assert repr(A) == f"Sparse(30 x 40, {MATRIX.nnz} entries)"
    np.testing.assert_array_equal(A.structure.T.dense_mask(), DENSE.T != 0)
    np.testing.assert_array_equal(A.structure.gram().dense_mask() | (DENSE.T @ DENSE == 0), True)


def test_nothing_of_the_size_of_the_matrix_is_formed() -> None:
    """Neither by products, nor in networks, trained or packed: a dense copy would not fit."""
    n = 2**17
    A = as_operator(scipy.sparse.diags([np.ones(n), np.ones(n - 1)], offsets=[0, 1]))
    assert isinstance(A, Sparse)
    y = np.ones(n, np.float32)
    np.testing.assert_allclose(A(y)[:3], 2)
    net = Unrolled(ISTA(), A, 1)
    assert net(y).shape == (n,)
    packed = pack(net)
    assert packed(y).shape == (n,)
    assert not A.norm().exact
    assert float(A.norm()) == pytest.approx(2, rel=1e-2)


FORMATS = [OneBit(), OneBit(planes=2, scale="row"), OneBit(scale="column"), Ternary(), Anchored(OneBit())]


@pytest.mark.long
@pytest.mark.parametrize("weights", FORMATS, ids=str)
def test_networks_pack_on_the_pattern(weights, tmp_path) -> None:
    net = Unrolled(ISTA(), MATRIX, 1, weights)
    assert net.maps["W"].structure == net.operator.mask()
    loaded = load(pack(net).save(tmp_path / "net.safetensors"))
    y = RNG.standard_normal((2, 40)).astype(np.float32) @ DENSE.T
    np.testing.assert_allclose(loaded(y), net(y), rtol=1e-4, atol=1e-5)
    assert loaded.network.operator == Sparse.of(MATRIX)
    report = count_bits(loaded)
    assert report.active_links == MATRIX.nnz
    assert report.physics_bits == MATRIX.nnz * (32 + 8) + 30 * 8


@pytest.mark.long
def test_networks_train_on_the_pattern() -> None:
    problem = Problem.from_arrays(MATRIX, RNG.standard_normal((40, 40)))
    net = Unrolled(ISTA(), problem, 2)
    report = fit(net, problem, Stage(30, batch=4), progress=False)
    assert report.nmse_db < report.untrained_nmse_db
    assert net.maps["W"].dense().shape == (2, 30, 40)
    assert not np.any(np.asarray(net.maps["W"].dense())[:, DENSE == 0])


def test_bits_by_hand() -> None:
    A = Sparse.of(MATRIX)
    index = A.structure.indices
    assert A.physics_bits() == 8 * (4 * MATRIX.nnz + MATRIX.nnz + 30)
    assert A.structure.held_bits == 8 * sum(np.asarray(part).nbytes for part in jax.tree.leaves(index))
    assert A.structure.held_bits <= MATRIX.nnz * (8 + 8 + 32) + 2 * 48 * (30 + 40)
    wide = Sparse.of(scipy.sparse.csr_array(([1.0], ([0], [70_000])), (2, 70_001)))
    assert wide.structure.to_spec()["places"].dtype == np.int32
    assert wide.structure.to_spec()["counts"].dtype == np.uint8


def test_the_classic_solver_gives_what_it_gives_with_the_dense_matrix() -> None:
    y = RNG.standard_normal((2, 30)).astype(np.float32)
    found, expected = (solve(FISTA(regularisation=0.01), A, y, 50).x for A in (MATRIX, DENSE))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


WRONG: dict[str, tuple[Callable, str]] = {
    "zeros": (lambda: Sparse.of(scipy.sparse.csr_array((3, 4))), "expected a matrix with entries, got zeros of shape"),
    "NaN": (lambda: Sparse.of(MATRIX * np.nan), "NaN"),
    "a word": (lambda: Sparse.of("A.npz"), r"Sparse: expected a matrix \(m, n\) of numbers, got 'A.npz'"),
    "three axes": (lambda: Sparse.of(np.ones((2, 3, 4))), r"Sparse: expected a matrix \(m, n\)"),
    "another structure": (lambda: Sparse(jnp.ones((2, 2)), Pattern.of(np.eye(2) > 0)), "expected a core of shape"),
    "counts": (lambda: Pattern(2, 3, np.array([1, 1]), np.array([0])), "number of entries of each of 2 rows"),
    "places": (lambda: Pattern(2, 3, np.array([1, 1]), np.array([0, 3])), r"expected columns in \[0, 3\)"),
    "order": (lambda: Pattern(1, 3, np.array([2]), np.array([1, 0])), "that increase in each row"),
    "no integers": (lambda: Pattern(1, 3, np.array([0.5]), np.array([1])), "expected integers as counts"),
    "batched BCOO": (
        lambda: as_operator(jax_sparse.BCOO.fromdense(jnp.ones((2, 3, 4)))),
        r"A: expected a matrix \(m, n\)",
    ),
    "designed signs": (lambda: Unrolled(ISTA(), MATRIX, 1, Designed(OneBit())), "dense or in blocks; use OneBit"),
    "rank": (lambda: Unrolled(ISTA(), MATRIX, 1, LittleBit()), "entries of a sparse matrix have no rank"),
    "rank one": (lambda: Unrolled(ISTA(), MATRIX, 1, OneBitSVID()), "entries of a sparse matrix have no rank"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_ones_are_named(case: str) -> None:
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()
