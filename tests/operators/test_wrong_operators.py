"""What is no operator, and operators that are wrong: what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse.linalg as sparse_linalg

from unrollbit import recipes
from unrollbit.operators import Convolution, Dense, as_operator
from unrollbit.problems import ArrayProblem

REAL = np.random.RandomState(0).standard_normal((6, 8))


def blurred(x: jax.Array) -> jax.Array:
    return jnp.convolve(x, jnp.asarray(jnp.array([1.0, 2.0, 1.0]) / 4, jnp.float32), "same")


class WrongAdjoint(sparse_linalg.LinearOperator):
    def __init__(self) -> None:
        super().__init__(np.float64, (3, 3))

    def _matvec(self, x: np.ndarray) -> np.ndarray:
        return 2 * x.ravel()

    def _rmatvec(self, x: np.ndarray) -> np.ndarray:
        return x.ravel()


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a word": (lambda: as_operator("A.npy"), TypeError, "got 'A.npy'; give what the file"),
    "a number": (lambda: as_operator(3.0), TypeError, "A: expected a LinearOperator, .* got 3.0"),
    "a class": (lambda: as_operator(Dense), TypeError, r"got the class Dense; make one of it, Dense\(...\)"),
    "a vector": (
        lambda: as_operator(np.ones(3)),
        ValueError,
        r"a matrix \(m, n\), got an array of shape \(3,",
    ),
    "ragged": (lambda: as_operator([[1.0, 2.0], [3.0]]), ValueError, "rows of different lengths"),
    "NaN": (lambda: as_operator(REAL * np.nan), ValueError, "NaN"),
    "no shape": (lambda: as_operator(blurred), ValueError, r"as_operator\(f, shape=\(height, width\)\), got none"),
    "a wrong shape": (lambda: as_operator(blurred, shape="8"), ValueError, "shape: expected the shape of a signal"),
    "not linear": (lambda: as_operator(jnp.sin, shape=8), ValueError, r"A \(sin\): expected a linear map, but f\(2 x"),
    "affine": (lambda: as_operator(lambda x: x + 1, shape=8), ValueError, r"it is not 0 at x = 0, so subtract f\(0\)"),
    "no JAX": (lambda: as_operator(np.fft.rfft, shape=8), ValueError, "that is not JAX give a scipy.sparse.linalg"),
    "two results": (lambda: as_operator(lambda x: (x, x), shape=8), TypeError, "gives one array, got tuple"),
    "a wrong adjoint": (
        lambda: as_operator(blurred, shape=8, adjoint=lambda y: 2 * y, matrix=False),
        ValueError,
        "adjoint is not that of the operator: <A x, y> = ",
    ),
    "another wrong adjoint": (lambda: as_operator(WrongAdjoint(), matrix=False), ValueError, "adjoint is not that"),
    "no adjoint": (
        lambda: as_operator(sparse_linalg.LinearOperator((2, 3), matvec=lambda x: x[:2]), matrix=False),
        ValueError,
        r"expected an operator with an adjoint \(rmatvec\)",
    ),
    "complex unknowns of a real matrix": (
        lambda: as_operator(REAL, unknowns="complex"),
        ValueError,
        "unknowns='complex' is for complex operators, got a real one",
    ),
    "unknowns": (lambda: as_operator(REAL, unknowns="both"), ValueError, "unknowns: expected one of 'real', 'complex'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_ones_are_named(case: str) -> None:
    call, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        call()


def test_checks_may_be_left_out() -> None:
    assert as_operator(WrongAdjoint(), matrix=False, check=False).shape == (3, 3)
    np.testing.assert_allclose(as_operator(WrongAdjoint()).dense(), 2 * np.eye(3))  # a matrix has its own adjoint


def test_a_kernel_of_zeros_or_a_path_is_refused():
    with pytest.raises(ValueError, match="kernel: all taps are zero"):
        Convolution(np.zeros(3), 8)
    with pytest.raises(ValueError, match=r"kernel: expected an array, got the path 'kernel\.npy'"):
        Convolution("kernel.npy", 8)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="physics: all its entries are zero"):
        recipes.default(ArrayProblem(np.zeros((4, 8)), np.ones((20, 8))), depth=2)
