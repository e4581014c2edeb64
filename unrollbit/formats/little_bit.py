"""LittleBit's matrices: low-rank sign factors between three scales, for rates below one bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.decompositions import SVD, SignFactors, decomposed, dual_svid, rank_for
from unrollbit.formats.cores import masked
from unrollbit.formats.one_bit_svid import each_copy
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.scales import Floats
from unrollbit.formats.stored import HALF, Signs, Stored
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
        surrogate: pseudo-gradient of the signs; published: ``smooth_sign()``, and ``clipped()`` by default in the
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
    def normalisable(self) -> bool:
        """No: ``w_j^T a_j`` is about r / m, and what is divided by it grows as much; columns have scales to learn."""
        return False

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
        rank, blocked = self.rank_of(structure), len(structure.core_shape) == 3
        if self.turns:
            svds = each_copy(cores, _blocks_decomposed)
            factors = [self._factorised(svds[k], rank, blocked, first=k * rank) for k in range(len(svds))]
        else:
            factors = each_copy(cores, lambda core: self._factorised(_blocks_decomposed(core), rank, blocked))
        values = {}
        for name in SignFactors._fields:
            stacked = np.stack([np.stack([getattr(path, name) for path in one]) for one in factors])
            if name not in _SCALES:  # latents of mean magnitude 1
                size = np.abs(stacked).mean(tuple(range(2, stacked.ndim)), keepdims=True)
                stacked = stacked / np.where(size > 0, size, 1.0)
            values[name] = jnp.asarray(stacked, jnp.float32)
        return values

    def _factorised(self, blocks: list[SVD], rank: int, blocked: bool, first: int = 0) -> list[SignFactors]:
        """The factors of every path of one core: latent factors as cores, scales of all blocks in a row."""
        paths = []
        for path in range(self.paths):
            found = [dual_svid(block, rank, rotate=self.rotate, first=first) for block in blocks]
            if path + 1 < self.paths:  # what is missing
                matrices = [(svd.U * svd.s) @ svd.Vt for svd in blocks]
                blocks = [decomposed(matrix - one.dense()) for matrix, one in zip(matrices, found, strict=True)]
            left, right = (np.stack([getattr(factors, name) for factors in found]) for name in ("left", "right"))
            scales = (np.concatenate([getattr(factors, name) for factors in found]) for name in _SCALES)
            paths.append(SignFactors(left if blocked else left[0], right if blocked else right[0], *scales))
        return paths

    def parameters(self, values: Values, structure: Structure) -> tuple[Array, ...]:
        return tuple(values[name] for name in ("left", "right", *_SCALES))

    def trained(self, parameters: tuple[Array, ...], structure: Structure) -> LinearOperator:
        left, right, *scales = parameters
        terms = []
        for path in range(self.paths):
            rows, middle, columns = (scale[path] for scale in scales)
            L, R = (
                Structured(binarise(latents[path], self.surrogate), factor)
                for latents, factor in zip((left, right), self.factors(structure), strict=True)
            )
            terms.append(LowRank(rows, L, middle, R, columns))
        total = terms[0] if len(terms) == 1 else Sum(*terms)
        return total if structure.core_mask is None else masked(total.dense(), structure)

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        ones, (left, right) = jnp.ones(1), self.factors(structure)
        terms = []
        for path in range(self.paths):
            rows, middle, columns = (arrays[name][path].astype(jnp.float32) for name in _SCALES)
            L = PackedSigns(arrays["left"][path][None], ones, None, left, "none")
            R = PackedSigns(arrays["right"][path][None], ones, None, right, "none")
            terms.append(LowRank(rows, L, middle, R, columns))
        if exists is not None:
            return MaskedLowRank(tuple(terms), exists)
        return terms[0] if self.paths == 1 else Sum(*terms)


def _block_shape(structure: Structure) -> tuple[int, int]:
    """Shape of what is factorised: a block, or the whole matrix."""
    (m, n), count = structure.shape, structure.blocks
    if structure.core_shape[-2:] != (m // count, n // count):
        raise ValueError(
            "LittleBit: taps of a convolution and entries of a sparse matrix have no rank; take OneBit() there"
        )
    return m // count, n // count


def _blocks_decomposed(core: np.ndarray) -> list[SVD]:
    return [decomposed(block) for block in (core if core.ndim == 3 else core[None])]
