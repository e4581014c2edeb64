"""OneBit's matrices: signs between two value vectors."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.decompositions import rank_one
from unrollbit.formats.cores import each_copy, masked, normalised_latents
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import HALF, TINY, Floats, Signs, Stored
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import Composition, LinearOperator
from unrollbit.operators.structured import Diagonal
from unrollbit.packed_operators import PackedSigns
from unrollbit.structures import Structure

_SMALLEST = TINY**0.5  # of a value, so that its logarithm exists: the product of two is still a float32


@dataclass(frozen=True)
class OneBitSVID(Representation):
    """``W_hat = diag(h) S diag(g)`` with ``S = sign(W)`` and value vectors h (m,), g (n,): sign-value-independent
    decomposition.

    ``h g^T`` starts as the best rank-one approximation of ``|W|`` (block by block for block-diagonal matrices, over
    unmasked entries for irregular masks), so that ``||W - W_hat|| <= ||W - W_1||`` with the best rank-one W_1 of W
    itself. h and g are positive (a sign of theirs would be a flip of signs in S) and trained as logarithms. OneBit's
    layer normalisation of the output is an option of the network (``Unrolled(activations=...)``), off by default: with
    it the layer would not approximate ``W x``.

    Bits: ``m n + 16 (m + n)`` per matrix; the vectors are stored as bfloat16.

    Source: Xu et al., "OneBit: towards extremely low-bit large language models", arXiv 2402.11295, section 3.2 and 3.3.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = OneBitSVID().from_matrix(jnp.array([[1.0, -2.0], [-3.0, 6.0]]))  # |W| has rank one: exact
        >>> weights.dense().round(4).tolist(), weights.bits()
        ([[[1.0, -2.0], [-3.0, 6.0]]], 68)
    """

    surrogate: Surrogate = Identity()

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return ("one-bit between two value vectors (OneBit)",)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        rows, columns = (Floats((copies, size), HALF, positive=True) for size in structure.shape)
        return {"signs": Signs((copies,), structure), "rows": rows, "columns": columns}

    def start(self, cores: Array, structure: Structure) -> Values:
        m, n = structure.shape
        self._magnitudes(jnp.ones(m), jnp.ones(n), structure)  # taps that are shared have no rows: said here
        if structure.entrywise:
            raise ValueError("OneBitSVID: entries of a sparse matrix have no rank; take OneBit(scale='row') there")

        def vectors(core: np.ndarray) -> list[np.ndarray]:
            pairs = [rank_one(block, structure.core_mask) for block in core.reshape(-1, *core.shape[-2:])]
            return [np.concatenate(parts) for parts in zip(*pairs, strict=True)]

        found = each_copy(cores, vectors)
        rows, columns = (np.maximum(np.stack(values), _SMALLEST) for values in zip(*found, strict=True))
        return {"signs": normalised_latents(cores, structure), "rows": rows, "columns": columns}

    def _magnitudes(self, rows: Array, columns: Array, structure: Structure) -> Array:
        """``h g^T`` as cores."""
        return structure.rows(rows) * structure.columns(columns)

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        magnitudes = self._magnitudes(parameters["rows"], parameters["columns"], structure)
        return masked(magnitudes * binarise(parameters["signs"], self.surrogate), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        signs = PackedSigns(arrays["signs"][None], jnp.ones(1), exists, structure, "none")
        rows, columns = (Diagonal(arrays[name].astype(jnp.float32)) for name in ("rows", "columns"))
        return Composition(rows, Composition(signs, columns))
