"""OneBit's matrices: signs between two value vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators import Composition, LinearOperator
from unrollbit.operators.structured import Diagonal
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Shared, Structure
from unrollbit.variables import ScaleParam
from unrollbit.weights.base import Arrays, Weights, as_structure, core_stack
from unrollbit.weights.format import Format
from unrollbit.weights.quantised import Quantised, binary, normalised_latents, round_logs, with_magnitude
from unrollbit.weights.rank_one import rank_one
from unrollbit.weights.stored import HALF, Floats, Signs, Stored
from unrollbit.weights.surrogates import Surrogate, binarise, identity

_SMALLEST = 1e-18  # of a value, so that its logarithm exists: the product of two is still a float32


@dataclass(frozen=True)
class OneBitSVIDFormat(Format):
    """One sign per entry, and 16-bit values for every row and column of each matrix."""

    name: ClassVar[str] = "OneBitSVID"

    @property
    def description(self) -> str:
        return "one-bit between two value vectors (OneBit)"

    def stored(self) -> dict[str, Stored]:
        (m, n), copies = self.structure.shape, self.copies
        return {
            "signs": Signs((copies,), self.structure),
            "rows": Floats((copies, m), HALF, positive=True),
            "columns": Floats((copies, n), HALF, positive=True),
        }

    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        signs = PackedSigns(arrays["signs"][None], jnp.ones(1), exists, self.structure, "none")
        rows, columns = (Diagonal(arrays[name].astype(jnp.float32)) for name in ("rows", "columns"))
        return Composition(rows, Composition(signs, columns))


class OneBitSVID(Quantised):
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
        >>> weights = OneBitSVID.from_matrix(jnp.array([[1.0, -2.0], [-3.0, 6.0]]))  # |W| has rank one: exact
        >>> weights.dense().round(4).tolist(), weights.bits()
        ([[[1.0, -2.0], [-3.0, 6.0]]], 68)
    """

    format_type = OneBitSVIDFormat
    format: OneBitSVIDFormat

    def __init__(
        self,
        latents: Array,
        rows: Float[Array, "copies m"],
        columns: Float[Array, "copies n"],
        structure: Structure,
        surrogate: Surrogate | None = None,
    ) -> None:
        """``latents`` (copies, *core); ``rows`` and ``columns`` positive."""
        self._adopt(OneBitSVIDFormat(structure, latents.shape[0]))
        self.surrogate = identity() if surrogate is None else surrogate
        self.latents = binary(latents)
        self.log_rows, self.log_columns = positive_logs(rows), positive_logs(columns)

    @classmethod
    def from_matrix(
        cls, matrix: Any, mask: Any = None, *, copies: int = 1, surrogate: Surrogate | None = None
    ) -> OneBitSVID:
        """From ``(m, n)`` (repeated) or ``(copies, m, n)``; raises ``ValueError`` for wrong shapes or NaN."""
        cores, structure = core_stack(matrix, as_structure(mask), copies)
        if isinstance(structure, Shared):
            raise ValueError("OneBitSVID: shared taps have no rows and columns; take a global or layer scale of OneBit")
        found = each_copy(cores, lambda core: values_of(core, structure))
        rows, columns = (np.stack([pair[i] for pair in found]) for i in (0, 1))
        return cls(normalised_latents(cores, structure), jnp.asarray(rows), jnp.asarray(columns), structure, surrogate)

    def options(self) -> dict[str, Any]:
        return {"surrogate": self.surrogate}

    def unquantised(self) -> Weights:
        """The matrices that the latents stand for: their mean magnitude is that of ``h g^T``."""
        return with_magnitude(self.latents[...], self._magnitudes(*self.prepare()[1:]), self.structure)

    def _magnitudes(self, rows: Array, columns: Array) -> Array:
        """``h g^T`` as cores."""
        return self.structure.rows(rows) * self.structure.columns(columns)

    def prepare(self) -> tuple[Array, Array, Array]:
        return self.latents[...], jnp.exp(self.log_rows[...]), jnp.exp(self.log_columns[...])

    def matrix(self, parameters: tuple[Array, Array, Array]) -> LinearOperator:
        latents, rows, columns = parameters
        return self.structured(self._magnitudes(rows, columns) * binarise(latents, self.surrogate))

    def values(self) -> dict[str, Array]:
        latents, rows, columns = self.prepare()
        return {"signs": latents, "rows": rows, "columns": columns}

    def round_scales(self) -> None:
        round_logs(self.log_rows, HALF)
        round_logs(self.log_columns, HALF)

    @classmethod
    def _from_values(cls, format: OneBitSVIDFormat, values: Arrays, surrogate: Surrogate) -> OneBitSVID:
        signs, rows, columns = (jnp.asarray(values[name]) for name in ("signs", "rows", "columns"))
        return cls(signs, rows, columns, format.structure, surrogate)


def positive_logs(values: Array) -> ScaleParam:
    """Logarithms of positive scales, as trained variables."""
    return ScaleParam(jnp.log(jnp.maximum(jnp.asarray(values, jnp.float32), _SMALLEST)))


def each_copy(cores: Array, compute: Any) -> list[Any]:
    """``compute`` of every core (NumPy), once for copies that are equal: untied weights start equal."""
    host = np.asarray(cores)
    found = [compute(host[0])]
    for k in range(1, len(host)):
        found.append(found[0] if np.array_equal(host[k], host[0]) else compute(host[k]))
    return found


def values_of(core: np.ndarray, structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Value vectors of all rows (m,) and columns (n,) of one core, block by block."""
    exists = structure.core_mask
    if core.ndim == 2:
        return rank_one(core, exists)
    pairs = [rank_one(block) for block in core]
    return np.concatenate([h for h, _ in pairs]), np.concatenate([g for _, g in pairs])
