"""Sign-value-independent decompositions: signs between vectors of scales, of a matrix (OneBit) or of its factors of low
rank (LittleBit, for rates below one bit).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.arguments import integer
from unrollbit.decompositions import factor_cores, rank_for, rank_one_cores
from unrollbit.formats.cores import normalised_latents
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import HALF, TINY, Floats, Signs, Stored
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import Composition, LinearOperator, Sum
from unrollbit.operators.structured import Diagonal, Structured, masked
from unrollbit.packed_operators import LowRank, MaskedLowRank, PackedSigns
from unrollbit.structures import Blocks, Full, Structure, dense_blocks

_SCALES = ("rows", "middle", "columns")
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

    words: ClassVar[str] = "one-bit between two value vectors (OneBit)"
    surrogate: Surrogate = Identity()

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        rows, columns = (Floats((copies, size), HALF, positive=True) for size in structure.shape)
        return {"signs": Signs((copies,), structure), "rows": rows, "columns": columns}

    def start(self, cores: Array, structure: Structure) -> Values:
        _block_shape(structure)  # refuses what has no rank
        rows, columns = (np.maximum(v, _SMALLEST) for v in rank_one_cores(cores, structure.core_mask))
        return {"signs": normalised_latents(cores, structure), "rows": rows, "columns": columns}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        magnitudes = structure.rows(parameters["rows"]) * structure.columns(parameters["columns"])
        return masked(magnitudes * binarise(parameters["signs"], self.surrogate), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        signs = PackedSigns(arrays["signs"][None], jnp.ones(1), exists, structure, "none")
        rows, columns = (Diagonal(arrays[name].astype(jnp.float32)) for name in ("rows", "columns"))
        return Composition(rows, Composition(signs, columns))


@dataclass(frozen=True)
class LittleBit(Representation):
    """``W_hat = diag(h) sign(U) diag(l) sign(V) diag(g)`` of rank r, plus the same of what it misses (``residual``).

    Factors start from the truncated SVD (Dual-SVID, exact). Block-diagonal matrices have factors block by block. An
    irregular mask multiplies the product, so that bits are saved but no multiplications. Scales are positive and
    trained as logarithms; l is one vector (the released code trains it as a product of two). A product costs
    ``r (m + n)`` multiplications per path; the matrix is never formed.

    Args:
        bits_per_weight: target rate, from about 0.1 on for matrices that are large enough. The rank is the largest
            whose rate, by the formula below over the entries that exist, does not exceed it.
        residual: a second path of the same rank, for what the first one misses; at equal rates the rank halves. It
            helps where the spectrum is steep and harms where it is flat.
        rotate: turn the factors towards their signs first, at no bits (50 rounds of decompositions of rank r).
        multiple: the rank is a multiple of it (8 in the released code: whole bytes).
        rank: the rank itself, instead of a target.
        turns: copy k starts from singular values k r + 1 to (k + 1) r, cyclically, not all from the largest ones:
            layers of an untied network then see different parts of the measurement. Not in the paper.
        surrogate: pseudo-gradient of the signs; published: ``SmoothSign()``, and ``Clipped()`` by default in the
            released code. Latents have mean magnitude 1 here.

    Raises:
        ValueError: where a matrix is met, a target that cannot be reached; the message names the smallest rate that
            can.

    Bits: ``r (m + n + 16) + 16 (m + n)`` per matrix and path; scales are stored as bfloat16.

    Source: Lee et al., "LittleBit: ultra low-bit quantization via latent factorization", arXiv 2506.13771; the
    rotation: LittleBit-2, arXiv 2603.00042. Independent of the released code.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = LittleBit(bits_per_weight=1.0, multiple=1).from_matrix(jnp.eye(64))
        >>> weights.rank, weights.dense().shape, weights.bits() / 64**2 <= 1.0
        (14, (1, 64, 64), True)
    """

    # w_j^T a_j is about r / m, and what is divided by it grows as much; columns have scales to learn
    normalisable: ClassVar[bool] = False
    bits_per_weight: float = 1.0
    residual: bool = False
    rotate: bool = False
    multiple: int = 8
    rank: int | None = None
    turns: bool = False
    surrogate: Surrogate = Identity()

    def __post_init__(self) -> None:
        if self.rank is not None:
            integer("rank", self.rank, 1)

    def describe(self, weights: Weights) -> tuple[str, ...]:
        residual = " with a residual of the same rank" * self.residual
        return (f"sign factors of rank {self.rank_of(weights.structure)}{residual} (LittleBit)",)

    @property
    def paths(self) -> int:
        """Number of products of sign factors."""
        return 2 if self.residual else 1

    def rank_of(self, structure: Structure) -> int:
        """Rank of the sign factors of matrices (or blocks) of a structure."""
        (m, n), entries = _block_shape(structure), structure.size // structure.blocks
        if self.rank is None:
            rate = {"entries": entries, "paths": self.paths, "multiple": self.multiple}
            return rank_for(m, n, self.bits_per_weight, **rate)
        if self.rank > min(m, n):
            raise ValueError(f"LittleBit: expected rank in [1, {min(m, n)}], got {self.rank}")
        return self.rank

    def factors(self, structure: Structure) -> tuple[Structure, Structure]:
        """Structures of the left (m, r) and right (r, n) factor."""
        (m, n), rank = _block_shape(structure), self.rank_of(structure)
        if len(structure.core_shape) == 3:
            return Blocks(structure.blocks, m, rank), Blocks(structure.blocks, rank, n)
        return Full(m, rank), Full(rank, n)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        lead, (left, right) = (copies, self.paths), self.factors(structure)
        sizes = (left.shape[0], left.shape[1], right.shape[1])
        scales = {name: Floats((*lead, size), HALF, positive=True) for name, size in zip(_SCALES, sizes, strict=True)}
        return {"left": Signs(lead, left), "right": Signs(lead, right), **scales}

    def start(self, cores: Array, structure: Structure) -> Values:
        rank = self.rank_of(structure)
        return factor_cores(cores, rank, self.paths, rotate=self.rotate, turns=self.turns)._asdict()

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        terms = self._terms(
            parameters, structure, lambda latents, own: Structured(binarise(latents, self.surrogate), own)
        )
        total = functools.reduce(Sum, terms)
        return total if structure.core_mask is None else masked(total.dense(), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        terms = self._terms(
            arrays, structure, lambda bits, own: PackedSigns(bits[None], jnp.ones(1), None, own, "none")
        )
        return functools.reduce(Sum, terms) if exists is None else MaskedLowRank(terms, exists)

    def _terms(
        self, arrays: Values, structure: Structure, factor: Callable[[Array, Structure], LinearOperator]
    ) -> tuple[LowRank, ...]:
        """The product of every path, of the arrays of one copy."""
        terms, (left, right) = [], self.factors(structure)
        for path in range(self.paths):
            rows, middle, columns = (arrays[name][path].astype(jnp.float32) for name in _SCALES)
            L, R = factor(arrays["left"][path], left), factor(arrays["right"][path], right)
            terms.append(LowRank(rows, L, middle, R, columns))
        return tuple(terms)


def _block_shape(structure: Structure) -> tuple[int, ...]:
    """Shape of what is decomposed: a block, or the whole matrix."""
    shape = dense_blocks(structure).core_shape[-2:]
    if structure.core_shape[-2:] != shape:
        raise ValueError(
            "weights: taps of a convolution and entries of a sparse matrix have no rank; take OneBit() there"
        )
    return shape
