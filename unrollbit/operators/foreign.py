"""What as_operator takes: matrices, sparse ones, operators of other libraries, functions."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from unrollbit.arguments import shown
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.complex_measurements import ComplexMeasurements
from unrollbit.operators.conversion import Request, add_converter, comes_from
from unrollbit.operators.dense import Dense
from unrollbit.operators.function import Function
from unrollbit.operators.host import Foreign, Host
from unrollbit.operators.probes import check_adjoint, check_linear
from unrollbit.operators.sparse import Sparse
from unrollbit.values import Keyed

_FEW = 1 / 16  # share of entries up to which the matrix of an operator is held as a sparse one
_ROUNDING = 4  # in units of the rounding of the largest entry
_WORTH_IT = 2**16  # entries of a matrix below which a dense product is as fast


def of_matrix(matrix: Any, request: Request) -> LinearOperator:
    """The operator of an array; of a complex one ``(Re C; Im C)``, or ``(Re C, -Im C; Im C, Re C)`` on (Re x, Im x)."""
    try:
        array = matrix if isinstance(matrix, jax.Array) else np.asarray(matrix)
    except ValueError as error:
        raise ValueError(f"{request.name}: expected a matrix, got rows of different lengths ({error})") from error
    if array.ndim != 2:
        advice = "; for a diagonal matrix scipy.sparse.diags(d)" if array.ndim == 1 else ""
        raise ValueError(f"{request.name}: expected a matrix (m, n), got an array of shape {array.shape}{advice}")
    if not np.issubdtype(array.dtype, np.complexfloating):
        _check_real(request)
        return Dense.of(array)
    array = np.asarray(array)
    real, imaginary = np.real(array), np.imag(array)
    columns = [np.concatenate([real, imaginary])]
    if request.unknowns == "complex":
        columns.append(np.concatenate([-imaginary, real]))
    return ComplexMeasurements(Dense.of(np.concatenate(columns, 1)))


def _of_tensor(tensor: Any, request: Request) -> LinearOperator:
    tensor = tensor.detach().cpu().resolve_conj()
    return of_matrix((tensor.float() if tensor.dtype.itemsize < 4 else tensor).numpy(), request)  # no NumPy bfloat16


def of_sparse(matrix: Any, request: Request) -> LinearOperator:
    """The operator of a sparse matrix of SciPy, complex ones as ``of_matrix``; it stays sparse."""
    from scipy import sparse  # takes a while: imported where there are sparse matrices

    if request.matrix:
        return of_matrix(matrix.toarray(), request)
    matrix = sparse.coo_array(matrix)
    if matrix.dtype.kind != "c":
        _check_real(request)
        return Sparse.of(matrix)
    real, imaginary = matrix.real, matrix.imag
    blocks = [[real, -imaginary], [imaginary, real]] if request.unknowns == "complex" else [[real], [imaginary]]
    return ComplexMeasurements(Sparse.of(sparse.block_array(blocks)))


def _of_jax_sparse(matrix: Any, request: Request) -> LinearOperator:
    """BCOO, or what becomes one (BCSR, CSR, COO)."""
    from scipy import sparse

    if hasattr(matrix, "to_bcoo"):
        matrix = matrix.to_bcoo()
    if matrix.ndim != 2:
        raise ValueError(f"{request.name}: expected a matrix (m, n), got an array of shape {matrix.shape}")
    if hasattr(matrix, "indptr"):  # CSR
        parts = (matrix.data, matrix.indices, matrix.indptr)
        return of_sparse(sparse.csr_array(tuple(map(np.asarray, parts)), matrix.shape), request)
    if hasattr(matrix, "row"):  # COO
        places = np.stack([np.asarray(matrix.row), np.asarray(matrix.col)], 1)
    elif matrix.n_batch or matrix.n_dense:
        raise ValueError(f"{request.name}: expected a sparse matrix without batch and dense axes, got {matrix!r}")
    else:
        places = np.asarray(matrix.indices)
    inside = (places < np.asarray(matrix.shape)).all(-1)  # padding lies outside
    data = np.asarray(matrix.data)[inside]
    return of_sparse(sparse.coo_array((data, tuple(places[inside].T)), matrix.shape), request)


def _of_sparse_tensor(tensor: Any, request: Request) -> LinearOperator:
    from scipy import sparse

    tensor = tensor.detach().cpu().to_sparse_coo().coalesce()
    values, places = tensor.values().resolve_conj().numpy(), tensor.indices().numpy()
    return of_sparse(sparse.coo_array((values, tuple(places)), tuple(tensor.shape)), request)


def of_foreign(operator: Any, request: Request) -> LinearOperator:
    """An object with ``matvec`` and ``rmatvec``: its matrix where it is small, else calls back to it."""
    name = f"{request.name} ({type(operator).__name__})"
    foreign = Foreign(operator, complex_unknowns=request.unknowns == "complex")
    if not foreign.complex_measurements:
        _check_real(request)
    m, n = foreign.shape
    if request.check:
        check_linear(name, lambda x: foreign.forward(x[None])[0], n)
    if request.as_matrix(m, n):
        matrix = foreign.forward(np.eye(n, dtype=np.float32)).T
        return _matrix_of(foreign.complex_measurements, matrix, foreign.dtype)
    A = Host(foreign)
    if request.check:
        try:
            foreign.adjoint(np.zeros((1, m), np.float32))
        except (NotImplementedError, AttributeError, TypeError) as error:
            raise ValueError(
                f"{name}: expected an operator with an adjoint (rmatvec), which this one lacks ({error}); "
                "as_operator(A, matrix=True) takes its matrix, which needs none"
            ) from error
        check_adjoint(name, A)
    return A


def of_function(function: Any, request: Request) -> LinearOperator:
    """A function of JAX."""
    if request.shape is None:
        raise ValueError(
            f"{request.name}: expected the shape of the signals that the function takes, as_operator(f, shape=(height, "
            f"width)), got none for {shown(function)}"
        )
    complex_unknowns = request.unknowns == "complex"
    taken = jax.ShapeDtypeStruct(request.shape, jnp.complex64 if complex_unknowns else jnp.float32)
    name = f"{request.name} ({getattr(function, '__name__', type(function).__name__)})"
    try:
        given = jax.eval_shape(function, taken)
    except Exception as error:  # whatever the user's code raises
        raise ValueError(
            f"{name}: the function does not take JAX arrays of shape {request.shape} ({type(error).__name__}: "
            f"{str(error).splitlines()[0]}); for code that is not JAX give a scipy.sparse.linalg.LinearOperator"
        ) from error
    if not hasattr(given, "shape"):
        raise TypeError(f"{name}: expected a function that gives one array, got {type(given).__name__}")
    gives_complex = complex_unknowns or jnp.issubdtype(given.dtype, jnp.complexfloating)
    sides = tuple(given.shape)
    A = Function(function, request.shape, sides, bool(gives_complex), complex_unknowns, request.adjoint)
    if request.check:
        apply = jax.jit(A._apply)
        check_linear(name, lambda x: np.asarray(apply(jnp.asarray(x))), A.shape[1])
    if request.as_matrix(*A.shape):
        return _matrix_of(A.complex_measurements, np.asarray(A.dense()), np.dtype(np.float32))
    if request.check and A.adjoint is not None:
        check_adjoint(name, A)
    return A


class _Product(Keyed):
    """``mv`` of an operator of lineax on flat vectors; compared by the operator that it holds.

    Structures of several arrays are flattened in their order.
    """

    def __init__(self, operator: Any) -> None:
        self.operator, self.__name__ = operator, type(operator).__name__
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), operator.in_structure())
        flat, self._unravel = ravel_pytree(zeros)
        self.size, self.dtype = flat.size, flat.dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        return ravel_pytree(self.operator.mv(self._unravel(x.astype(self.dtype))))[0]

    @property
    def key(self) -> int:
        return id(self.operator)


def _of_lineax(operator: Any, request: Request) -> LinearOperator:
    if type(operator).__name__ == "MatrixLinearOperator":
        return of_matrix(operator.as_matrix(), request)
    product = _Product(operator)
    if not jnp.issubdtype(product.dtype, jnp.complexfloating):
        _check_real(request)
    return of_function(product, request._replace(shape=(product.size,)))


def _matrix_of(complex_measurements: bool, matrix: np.ndarray, dtype: np.dtype[Any]) -> LinearOperator:
    """The matrix that an operator was found to be; a sparse one where most entries are 0.

    What computes by a Fourier transform rounds zeros to something: entries below the rounding of ``dtype`` in their row
    and in their column are 0.
    """
    size = np.abs(matrix)
    rounding = _ROUNDING * np.finfo(dtype).eps * np.minimum(size.max(1, keepdims=True), size.max(0))
    matrix = np.where(size > rounding, matrix, 0)
    few = 0 < np.count_nonzero(matrix) <= _FEW * matrix.size and matrix.size >= _WORTH_IT
    A = Sparse.of(matrix) if few else Dense.of(matrix)
    return ComplexMeasurements(A) if complex_measurements else A


def _check_real(request: Request) -> None:
    if request.unknowns == "complex":
        raise ValueError(f"{request.name}: unknowns='complex' is for complex operators, got a real one")


def _has_products(A: Any) -> bool:
    return len(getattr(A, "shape", ())) == 2 and all(hasattr(A, name) for name in ("matvec", "rmatvec"))


add_converter("a function", callable, of_function)
add_converter(
    "a matrix",
    lambda A: isinstance(A, np.ndarray | jax.Array | list | tuple) or hasattr(A, "__array__"),
    of_matrix,
)
add_converter("a torch tensor", lambda A: comes_from(A, "torch") and hasattr(A, "detach"), _of_tensor)
add_converter("an operator of lineax", lambda A: comes_from(A, "lineax") and hasattr(A, "in_structure"), _of_lineax)
add_converter(
    "an operator of SciPy or PyLops",
    lambda A: _has_products(A) and not isinstance(A, type),
    of_foreign,
)
add_converter(
    "a sparse matrix",
    lambda A: comes_from(A, "scipy.sparse") and hasattr(A, "tocoo"),
    of_sparse,
)
add_converter("a sparse matrix of JAX", lambda A: comes_from(A, "jax.experimental.sparse"), _of_jax_sparse)
add_converter(
    "a sparse torch tensor",
    lambda A: comes_from(A, "torch") and hasattr(A, "to_sparse_coo") and "sparse" in str(getattr(A, "layout", "")),
    _of_sparse_tensor,
)
