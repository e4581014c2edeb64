"""Sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from unrollbit.arguments import instance, shown
from unrollbit.operators.checks import finite_array
from unrollbit.operators.norms import Norm, power_iteration
from unrollbit.operators.structured import Structured
from unrollbit.signbits import pack_signs
from unrollbit.structures.base import Structure
from unrollbit.structures.pattern import Pattern
from unrollbit.values import pytree

_SMALL = 2**20  # entries of a matrix whose norm is found by a decomposition


@pytree
@dataclass(frozen=True)
class Sparse(Structured):
    """A matrix of few entries, held as such: ``entries`` row by row, at the places of a ``Pattern``.

    Matrices that a network learns for it have entries at the same places. Products read the entries by rows, or by
    columns through an index, and never scatter. Files hold 32 bits an entry, its column and the counts of the rows.

    ``Sparse.of`` takes whatever has ``tocoo`` (``scipy.sparse``), or a dense matrix, whose zeros it leaves out.

    Raises ``ValueError`` for entries that are not finite, and for a matrix without any.

    Example:
        >>> import jax.numpy as jnp, scipy.sparse
        >>> A = Sparse.of(scipy.sparse.csr_array([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]]))
        >>> A, A(jnp.ones(3))
        (Sparse(2 x 3, 3 entries), Array([2., 4.], dtype=float32))
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        instance("Sparse: structure", self.structure, Pattern, "Pattern.of(mask); Sparse.of takes matrices")

    @classmethod
    def of(cls, matrix: Any) -> Sparse:
        """A sparse matrix of SciPy, in any of its formats, or a dense one. Entries at one place are added up."""
        import scipy.sparse

        given = matrix
        try:
            matrix = scipy.sparse.csr_array(matrix if scipy.sparse.issparse(matrix) else np.atleast_2d(matrix))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Sparse: expected a matrix (m, n) of numbers, got {shown(given)}") from error
        if matrix.ndim != 2:
            raise ValueError(f"Sparse: expected a matrix (m, n), got shape {matrix.shape}")
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        if not matrix.nnz:
            raise ValueError(f"Sparse: expected a matrix with entries, got zeros of shape {matrix.shape}")
        m, n = matrix.shape
        pattern = Pattern(m, n, np.diff(matrix.indptr), matrix.indices)
        return cls(finite_array("entries", matrix.data, 1), pattern)

    def __repr__(self) -> str:
        m, n = self.shape
        return f"Sparse({m} x {n}, {self.structure.size} entries)"

    def _computed_norm(self) -> Norm:
        """Exact for small matrices, else a flagged estimate: the matrix is not formed."""
        m, n = self.shape
        return super()._computed_norm() if m * n <= _SMALL else power_iteration(self)

    def sign_reference(self, structure: Structure | None = None) -> UInt8[np.ndarray, "*rows bytes"] | None:
        return pack_signs(np.asarray(self.entries)) if structure in (None, self.structure) else None

    def resident_bits(self) -> int:
        """Entries at their width, and the indices of both products."""
        return self.entries.size * self.entries.dtype.itemsize * 8 + self.structure.held_bits
