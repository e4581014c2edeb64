"""Operators of other libraries, functions and complex matrices: what becomes of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import hypothesis
import jax
import jax.numpy as jnp
import lineax
import numpy as np
import pylops
import pytest
import scipy.sparse
import scipy.sparse.linalg as sparse_linalg
from hypothesis import settings
from hypothesis import strategies as st

from unrollbit import ISTA, Stage, Unrolled, fit, load, pack, solve
from unrollbit.algorithms import GradientDescent
from unrollbit.operators import Dense, LinearOperator, add_converter, as_operator, gaussian
from unrollbit.operators.conversion import CONVERTERS
from unrollbit.operators.unspecified import Unspecified
from unrollbit.problems import Problem

RNG = np.random.RandomState(0)
REAL = RNG.standard_normal((6, 8))
COMPLEX = REAL + 1j * RNG.standard_normal((6, 8))
KERNEL = np.array([1.0, 2.0, 1.0]) / 4


def stacked(matrix: np.ndarray) -> np.ndarray:
    """The real matrix of a complex one for real unknowns."""
    return np.concatenate([matrix.real, matrix.imag])


def twice_stacked(matrix: np.ndarray) -> np.ndarray:
    """The real matrix of a complex one for complex unknowns."""
    return np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])


def blurred(x: jax.Array) -> jax.Array:
    return jnp.convolve(x, jnp.asarray(KERNEL, jnp.float32), "same")


BLUR = np.stack([np.convolve(column, KERNEL, "same") for column in np.eye(8)]).T
DFT = np.exp(-2j * np.pi * np.outer(np.arange(8), np.arange(8)) / 8)
VECTOR = jax.ShapeDtypeStruct((8,), jnp.float32)

# what is given, the options, and the matrix that it stands for
GIVEN: dict[str, tuple[Callable[[], Any], dict[str, Any], np.ndarray]] = {
    "scipy": (lambda: sparse_linalg.aslinearoperator(REAL), {}, REAL),
    "scipy complex": (lambda: sparse_linalg.aslinearoperator(COMPLEX), {}, stacked(COMPLEX)),
    "pylops matrix": (lambda: pylops.MatrixMult(REAL), {}, REAL),
    "pylops convolution": (lambda: pylops.signalprocessing.Convolve1D(8, KERNEL, offset=1), {}, BLUR),
    "pylops Fourier": (
        lambda: pylops.signalprocessing.FFT(8, norm="none"),
        {},
        stacked(DFT),
    ),
    "pylops Fourier, complex unknowns": (
        lambda: pylops.signalprocessing.FFT(8, norm="none"),
        {"unknowns": "complex"},
        twice_stacked(DFT),
    ),
    "lineax matrix": (lambda: lineax.MatrixLinearOperator(jnp.asarray(REAL, jnp.float32)), {}, REAL),
    "lineax complex matrix": (
        lambda: lineax.MatrixLinearOperator(jnp.asarray(COMPLEX, jnp.complex64)),
        {"unknowns": "complex"},
        twice_stacked(COMPLEX),
    ),
    "lineax diagonal": (lambda: lineax.DiagonalLinearOperator(jnp.arange(1.0, 9.0)), {}, np.diag(np.arange(1.0, 9.0))),
    "lineax function": (lambda: lineax.FunctionLinearOperator(blurred, VECTOR), {}, BLUR),
    "lineax sum": (
        lambda: lineax.FunctionLinearOperator(blurred, VECTOR) + lineax.IdentityLinearOperator(VECTOR),
        {},
        BLUR + np.eye(8),
    ),
    "function": (lambda: blurred, {"shape": 8}, BLUR),
    "function of an image": (
        lambda: lambda image: image[::2].sum(0),
        {"shape": (4, 2)},
        np.kron(np.array([[1.0, 0, 1, 0]]), np.eye(2)),
    ),
    "function with an adjoint": (
        lambda: blurred,
        {"shape": 8, "adjoint": blurred},
        BLUR,
    ),
    "complex function": (lambda: jnp.fft.fft, {"shape": 8}, stacked(DFT)),
    "complex function, complex unknowns": (
        lambda: jnp.fft.fft,
        {"shape": 8, "unknowns": "complex"},
        twice_stacked(DFT),
    ),
    "complex matrix": (lambda: COMPLEX, {}, stacked(COMPLEX)),
    "complex matrix, complex unknowns": (lambda: COMPLEX, {"unknowns": "complex"}, twice_stacked(COMPLEX)),
    "lists": (lambda: REAL.tolist(), {}, REAL),
    "big-endian": (lambda: REAL.astype(">f4"), {}, REAL),
}


@pytest.fixture(params=GIVEN)
def given(request: pytest.FixtureRequest) -> tuple[Any, dict[str, Any], np.ndarray]:
    make, options, matrix = GIVEN[request.param]
    return make(), options, matrix


@pytest.mark.parametrize("as_matrix", [True, False])
def test_it_is_the_matrix_that_it_stands_for(given, as_matrix: bool) -> None:
    made, options, matrix = given
    A = as_operator(made, **options, matrix=as_matrix)
    m, n = matrix.shape
    assert A.shape == (m, n)
    x, y = RNG.standard_normal((3, n)).astype(np.float32), RNG.standard_normal((3, m)).astype(np.float32)
    np.testing.assert_allclose(A(x), x @ matrix.T, atol=1e-5)
    np.testing.assert_allclose(A.T(y), y @ matrix, atol=1e-5)
    np.testing.assert_allclose(A.dense(), matrix, atol=1e-5)
    assert float(A.norm()) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-5)
    assert A == A
    assert "\n" not in repr(A)


KINDS: dict[str, Callable[[np.ndarray], tuple[Any, dict[str, Any]]]] = {
    "array": lambda matrix: (matrix, {}),
    "scipy": lambda matrix: (sparse_linalg.aslinearoperator(matrix), {}),
    "pylops": lambda matrix: (pylops.MatrixMult(matrix, dtype=matrix.dtype), {}),
    "lineax": lambda matrix: (lineax.MatrixLinearOperator(jnp.asarray(matrix)), {}),
    "function": lambda matrix: (lambda x: jnp.asarray(matrix) @ x, {"shape": matrix.shape[1]}),
    "sparse": lambda matrix: (scipy.sparse.csr_array(matrix), {}),
}


@settings(max_examples=12, deadline=None, derandomize=True)
@hypothesis.given(
    kind=st.sampled_from(list(KINDS)),
    m=st.integers(1, 7),
    n=st.integers(1, 7),
    dtype=st.sampled_from([np.float32, np.float64, np.complex64, np.complex128]),
    unknowns=st.sampled_from(["real", "complex"]),
    as_matrix=st.booleans(),
)
def test_every_kind_shape_and_dtype_has_its_adjoint(kind, m, n, dtype, unknowns, as_matrix) -> None:
    random = np.random.RandomState(m + 10 * n)
    is_complex = np.issubdtype(dtype, np.complexfloating)
    real, imaginary = random.standard_normal((2, m, n))
    matrix = (real + 1j * imaginary if is_complex else real).astype(dtype)
    unknowns = unknowns if is_complex else "real"
    made, options = KINDS[kind](matrix)
    A = as_operator(made, **options, unknowns=unknowns, matrix=as_matrix)
    expected = matrix if not is_complex else stacked(matrix) if unknowns == "real" else twice_stacked(matrix)
    assert A.shape == expected.shape
    assert A.complex_physics == is_complex
    x, y = (random.standard_normal((2, size)).astype(np.float32) for size in (A.shape[1], A.shape[0]))
    np.testing.assert_allclose(A(x), x @ expected.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(A.T(y), y @ expected, rtol=1e-4, atol=1e-5)


def test_transformations_see_the_adjoint(given) -> None:
    """Products that nobody can look into differentiate both ways, batch and run inside scans."""
    made, options, matrix = given
    A = as_operator(made, **options, matrix=False)
    x = RNG.standard_normal((3, matrix.shape[1])).astype(np.float32)
    gradient = jax.jit(jax.vmap(jax.grad(lambda x: 0.5 * (A(x) ** 2).sum())))(x)
    np.testing.assert_allclose(gradient, x @ matrix.T @ matrix, rtol=1e-4, atol=1e-4)
    tangent = jax.jvp(A, (x,), (x[::-1],))[1]
    np.testing.assert_allclose(tangent, x[::-1] @ matrix.T, atol=1e-5)
    powers = jax.lax.scan(lambda x, _: (A.T(A(x)) / 100, None), x, None, length=2)[0]
    np.testing.assert_allclose(powers, x @ np.linalg.matrix_power(matrix.T @ matrix / 100, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["pylops Fourier", "lineax function", "complex matrix"])
def test_solve_networks_and_training_take_it(name: str) -> None:
    make, options, matrix = GIVEN[name]
    A = as_operator(make(), **options, matrix=False)
    x = RNG.standard_normal((2, 8)).astype(np.float32)
    y = x @ matrix.T
    if A.complex_physics:
        y = y[:, : len(matrix) // 2] + 1j * y[:, len(matrix) // 2 :]
    expected = solve(GradientDescent(), Dense.of(matrix), x @ matrix.T, 20).x
    np.testing.assert_allclose(solve(GradientDescent(), A, y, 20).x, expected, rtol=1e-4, atol=1e-4)
    problem = Problem.from_arrays(A, RNG.standard_normal((20, 8)))
    net = Unrolled(ISTA(), problem, 2)
    before = np.asarray(net(y))
    if isinstance(A, Unspecified):
        with pytest.warns(UserWarning, match=r"no file can hold an operator that is code.* not packed"):
            fit(net, problem, Stage(4, batch=4), keep="last", progress=False)
    else:
        fit(net, problem, Stage(4, batch=4), keep="last", progress=False)
    assert np.isfinite(net(y)).all()
    assert not np.array_equal(net(y), before)


def test_small_ones_are_matrices_and_pack(tmp_path) -> None:
    A = as_operator(pylops.signalprocessing.FFT(8, norm="none"))
    net = Unrolled(ISTA(), A, 2)
    y = np.fft.fft(RNG.standard_normal(8)).astype(np.complex64)
    loaded = load(pack(net).save(tmp_path / "net.safetensors"))
    np.testing.assert_allclose(loaded(y), net(y), rtol=1e-5, atol=1e-6)
    assert A == LinearOperator.from_spec(A.to_spec()) == pickle.loads(pickle.dumps(A))


def test_large_ones_stay_what_they_are() -> None:
    A = as_operator(pylops.Identity(2100))
    assert type(A).__name__ == "Host"
    assert not as_operator(lambda x: 2 * x, shape=2100).norm().exact
    with pytest.raises(TypeError, match=r"not packed; take its matrix, as_operator\(A, matrix=True\)"):
        pack(Unrolled(ISTA(), as_operator(pylops.Identity(8), matrix=False), 1)).save("never")


def test_measurements_of_complex_physics_may_be_complex() -> None:
    A = as_operator(COMPLEX)
    x = RNG.standard_normal((2, 8)).astype(np.float32)
    y = x @ COMPLEX.T
    np.testing.assert_allclose(solve(GradientDescent(), A, y.astype(np.complex64), 300).x, x, atol=1e-3)
    with pytest.raises(TypeError, match="expected real numbers, got dtype complex"):
        solve(GradientDescent(), as_operator(REAL), y.astype(np.complex64))


def test_operators_of_this_library_are_taken_as_they_are() -> None:
    A = gaussian(4, 8)
    assert as_operator(A) is A
    assert as_operator(Problem.from_arrays(A, np.eye(8))) is A


def test_a_kind_of_ones_own() -> None:
    class Camera:
        matrix = REAL

    assert add_converter("a Camera", lambda A: isinstance(A, Camera), lambda A, _: Dense.of(A.matrix)) in CONVERTERS
    assert Unrolled(ISTA(), Camera(), 2).operator == Dense.of(REAL)


def test_torch_tensors_are_matrices() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tensor = torch.tensor(REAL, requires_grad=True)
    np.testing.assert_allclose(as_operator(tensor).dense(), REAL, rtol=1e-6)
    np.testing.assert_allclose(as_operator(tensor.bfloat16()).dense(), REAL, rtol=2**-7)


def test_zeros_that_a_fourier_transform_rounds_are_zeros() -> None:
    """By hand: three taps along the rows of an image, which go round, have three entries a row of the matrix."""

    def blur(image: jax.Array) -> jax.Array:
        taps = jnp.zeros(16).at[jnp.array([0, 1, 15])].set(1 / 3)
        return jnp.fft.irfft(jnp.fft.rfft(image) * jnp.fft.rfft(taps), 16)

    A = as_operator(blur, shape=(16, 16))
    assert np.count_nonzero(A.dense()) == 3 * 256
    x = np.random.RandomState(0).randn(16, 16).astype(np.float32)
    expected = sum(np.roll(x, shift, 1) for shift in (-1, 0, 1)) / 3
    np.testing.assert_allclose(A(x.ravel()), expected.ravel(), atol=1e-6)
