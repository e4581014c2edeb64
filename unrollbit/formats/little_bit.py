"""LittleBit's matrices: low-rank sign factors between three scales, for rates below one bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.decompositions import SignFactors, decomposed, rank_for, sign_paths
from unrollbit.formats.cores import each_copy, masked
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import HALF, Floats, Signs, Stored
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator, Sum
from unrollbit.operators.structured import Structured
from unrollbit.packed_operators import LowRank, MaskedLowRank, PackedSigns
from unrollbit.structures import Blocks, Full, Structure

_SCALES = ("rows", "middle", "columns")


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
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"rank: expected an integer >= 1, got {self.rank!r}")

    def describe(self, weights: Weights) -> tuple[str, ...]:
        residual = " with a residual of the same rank" * self.residual
        return (f"sign factors of rank {self.rank_of(weights.structure)}{residual} (LittleBit)",)

    @property
    def paths(self) -> int:
        """Number of products of sign factors."""
        return 2 if self.residual else 1

    def rank_of(self, structure: Structure) -> int:
        """The rank for matrices (or blocks) of a structure."""
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
        rank, (left, right), factors = self.rank_of(structure), self.factors(structure), []
        svds = each_copy(cores, lambda core: [decomposed(block) for block in core.reshape(-1, *core.shape[-2:])])
        for k, blocks in enumerate(svds):
            same = k > 0 and blocks is svds[0] and not self.turns
            options = {"rotate": self.rotate, "first": k * rank if self.turns else 0}
            factors.append(factors[0] if same else sign_paths(blocks, rank, self.paths, **options))
        values = {}
        for name in SignFactors._fields:
            array = np.array([[[getattr(block, name) for block in path] for path in one] for one in factors])
            if name in _SCALES:  # of all blocks in a row
                array = array.reshape(*array.shape[:2], -1)
            else:  # latents of mean magnitude 1
                array = array.reshape(*array.shape[:2], *(left if name == "left" else right).core_shape)
                size = np.abs(array).mean(tuple(range(2, array.ndim)), keepdims=True)
                array = array / np.where(size > 0, size, 1.0)
            values[name] = jnp.asarray(array, jnp.float32)
        return values

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        def factor(latents: Array, structure: Structure) -> LinearOperator:
            return Structured(binarise(latents, self.surrogate), structure)

        total = functools.reduce(Sum, self._terms(parameters, structure, factor))
        return total if structure.core_mask is None else masked(total.dense(), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        def factor(bits: Array, structure: Structure) -> LinearOperator:
            return PackedSigns(bits[None], jnp.ones(1), None, structure, "none")

        terms = self._terms(arrays, structure, factor)
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


def _block_shape(structure: Structure) -> tuple[int, int]:
    """Shape of what is factorised: a block, or the whole matrix."""
    (m, n), count = structure.shape, structure.blocks
    if structure.core_shape[-2:] != (m // count, n // count):
        raise ValueError(
            "LittleBit: taps of a convolution and entries of a sparse matrix have no rank; take OneBit() there"
        )
    return m // count, n // count
