"""LittleBit's matrices: low-rank sign factors between three scales, for rates below one bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.operators import LinearOperator, Sum
from unrollbit.operators.structured import Structured
from unrollbit.packed_operators.low_rank import LowRank, MaskedLowRank
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Blocks, Full, Shared, Structure
from unrollbit.weights.base import Arrays, as_structure, core_stack
from unrollbit.weights.factorise import SVD, SignFactors, decomposed, dual_svid, rank_for
from unrollbit.weights.format import Format
from unrollbit.weights.one_bit_svid import each_copy, positive_logs
from unrollbit.weights.quantised import Quantised, binary, round_logs
from unrollbit.weights.stored import HALF, Floats, Signs, Stored
from unrollbit.weights.surrogates import Surrogate, binarise, identity

_SCALES = ("rows", "middle", "columns")


@dataclass(frozen=True)
class LittleBitFormat(Format):
    """``paths`` products of sign factors of one ``rank`` (per block), with 16-bit scales of rows, ranks and columns."""

    name: ClassVar[str] = "LittleBit"
    rank: int
    paths: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        m, n = self.block_shape
        for what, value, largest in (("rank", self.rank, min(m, n)), ("paths", self.paths, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= largest:
                raise ValueError(f"LittleBit: expected {what} in [1, {largest}], got {value!r}")

    @property
    def description(self) -> str:
        residual = " with a residual of the same rank" * (self.paths == 2)
        return f"sign factors of rank {self.rank}{residual} (LittleBit)"

    @property
    def block_shape(self) -> tuple[int, int]:
        """Shape of what is factorised: a block, or the whole matrix."""
        (m, n), count = self.structure.shape, self.structure.blocks
        return m // count, n // count

    @property
    def factors(self) -> tuple[Structure, Structure]:
        """Structures of the left (m, r) and right (r, n) factor."""
        (m, n), count = self.block_shape, self.structure.blocks
        if isinstance(self.structure, Blocks):
            return Blocks(count, m, self.rank), Blocks(count, self.rank, n)
        return Full(m, self.rank), Full(self.rank, n)

    def stored(self) -> dict[str, Stored]:
        lead, (left, right) = (self.copies, self.paths), self.factors
        sizes = (left.shape[0], left.shape[1], right.shape[1])
        scales = {name: Floats((*lead, size), HALF, positive=True) for name, size in zip(_SCALES, sizes, strict=True)}
        return {"left": Signs(lead, left), "right": Signs(lead, right), **scales}

    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        ones, (left, right) = jnp.ones(1), self.factors
        terms = []
        for path in range(self.paths):
            rows, middle, columns = (arrays[name][path].astype(jnp.float32) for name in _SCALES)
            L = PackedSigns(arrays["left"][path][None], ones, None, left, "none")
            R = PackedSigns(arrays["right"][path][None], ones, None, right, "none")
            terms.append(LowRank(rows, L, middle, R, columns))
        if exists is not None:
            return MaskedLowRank(tuple(terms), exists)
        return terms[0] if self.paths == 1 else Sum(*terms)


class LittleBit(Quantised):
    """``W_hat = diag(h) sign(U) diag(l) sign(V) diag(g)`` of rank r, plus the same of what it misses (``residual``).

    The rank follows from a target of ``bits_per_weight``; from about 0.1 bits on, for matrices that are large enough.
    Factors start from the truncated SVD (Dual-SVID, exact), ``rotate`` turns them towards their signs first, at no
    bits. Block-diagonal matrices have factors block by block. An irregular mask multiplies the product, so that bits
    are saved but no multiplications. Scales are positive and trained as logarithms; l is one vector (the released code
    trains it as a product of two).

    A product costs ``r (m + n)`` multiplications per path; the matrix is never formed.

    Bits: ``r (m + n + 16) + 16 (m + n)`` per matrix and path; scales are stored as bfloat16.

    Source: Lee et al., "LittleBit: ultra low-bit quantization via latent factorization", arXiv 2506.13771; the
    rotation: LittleBit-2, arXiv 2603.00042. Independent of the released code.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = LittleBit.from_matrix(jnp.eye(64), bits_per_weight=1.0, multiple=1)
        >>> weights.rank, weights.dense().shape, weights.bits() / 64**2 <= 1.0
        (14, (1, 64, 64), True)
    """

    format_type = LittleBitFormat
    format: LittleBitFormat

    def __init__(
        self,
        left: Array,
        right: Array,
        scales: Mapping[str, Array],
        format: LittleBitFormat,
        surrogate: Surrogate | None = None,
        *,
        rotate: bool = False,
        turns: bool = False,
    ) -> None:
        """Latent factors (copies, paths, *core) of the structures ``format.factors``; positive ``rows``, ``middle`` and
        ``columns`` (copies, paths, size). ``rotate`` and ``turns``: how ``rebuild`` factorises.
        """
        self._adopt(format)
        self.surrogate = identity() if surrogate is None else surrogate
        self.rotate, self.turns = rotate, turns
        self.left, self.right = binary(left), binary(right)
        self.log_rows, self.log_middle, self.log_columns = (positive_logs(scales[name]) for name in _SCALES)

    @property
    def rank(self) -> int:
        """Rank r of each path (of each block)."""
        return self.format.rank

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        mask: Any = None,
        *,
        copies: int = 1,
        bits_per_weight: float = 1.0,
        residual: bool = False,
        rotate: bool = False,
        multiple: int = 8,
        rank: int | None = None,
        turns: bool = False,
        surrogate: Surrogate | None = None,
    ) -> LittleBit:
        """From ``(m, n)`` (repeated) or ``(copies, m, n)``.

        Args:
            matrix, mask, copies: as in every format.
            bits_per_weight: target rate; the rank is the largest whose rate, by the formula above over the entries
                that exist, does not exceed it.
            residual: a second path of the same rank, for what the first one misses; at equal rates the rank halves.
                It helps where the spectrum is steep and harms where it is flat.
            rotate: rotate the latent space towards signs (50 rounds of singular value decompositions of rank r).
            multiple: the rank is a multiple of it (8 in the released code: whole bytes).
            rank: the rank itself, instead of a target.
            turns: copy k starts from singular values k r + 1 to (k + 1) r, cyclically, not all from the largest ones:
                layers of an untied network then see different parts of the measurement. Not in the paper.
            surrogate: pseudo-gradient of the signs; published: ``smooth_sign()``, and ``clipped()`` by default in the
                released code. Latents have mean magnitude 1 here.

        Raises:
            ValueError: wrong shapes, NaN, or a target that cannot be met; the message names the smallest rate that
                can.
        """
        for name, value in (("residual", residual), ("rotate", rotate), ("turns", turns)):
            if not isinstance(value, bool):
                raise ValueError(f"{name}: expected true or false, got {value!r}")
        cores, structure = core_stack(matrix, as_structure(mask), copies)
        if isinstance(structure, Shared):
            raise ValueError("LittleBit: taps of a convolution have no rank; take another format for shared weights")
        paths = 2 if residual else 1
        if rank is None:
            (m, n), count = structure.shape, structure.blocks
            entries = structure.size // count
            sizes = (m // count, n // count, bits_per_weight)
            rank = rank_for(*sizes, entries=entries, paths=paths, multiple=multiple)
        format = LittleBitFormat(structure, copies, rank, paths)
        if turns:
            svds = each_copy(cores, _blocks_decomposed)
            factors = [_factorised(blocks, format, rotate, first=k * rank) for k, blocks in enumerate(svds)]
        else:
            factors = each_copy(cores, lambda core: _factorised(_blocks_decomposed(core), format, rotate))
        latents, scales = {}, {}
        for name in SignFactors._fields:
            stacked = np.stack([np.stack([getattr(path, name) for path in one]) for one in factors])
            if name in _SCALES:
                scales[name] = jnp.asarray(stacked, jnp.float32)
            else:
                axes = tuple(range(2, stacked.ndim))
                size = np.abs(stacked).mean(axes, keepdims=True)
                latents[name] = jnp.asarray(stacked / np.maximum(size, 1e-30), jnp.float32)
        return cls(latents["left"], latents["right"], scales, format, surrogate, rotate=rotate, turns=turns)

    @property
    def normalisable(self) -> bool:
        """No: ``w_j^T a_j`` is about r / m, and what is divided by it grows as much; columns have scales to learn."""
        return False

    def options(self) -> dict[str, Any]:
        how = {"residual": self.format.paths == 2, "rotate": self.rotate, "turns": self.turns}
        return {"rank": self.rank, **how, "surrogate": self.surrogate}

    def prepare(self) -> tuple[Array, ...]:
        logs = (self.log_rows, self.log_middle, self.log_columns)
        return self.left[...], self.right[...], *(jnp.exp(log[...]) for log in logs)

    def matrix(self, parameters: tuple[Array, ...]) -> LinearOperator:
        left, right, *scales = parameters
        terms = []
        for path in range(self.format.paths):
            rows, middle, columns = (scale[path] for scale in scales)
            L, R = (
                Structured(binarise(latents[path], self.surrogate), structure)
                for latents, structure in zip((left, right), self.format.factors, strict=True)
            )
            terms.append(LowRank(rows, L, middle, R, columns))
        total = terms[0] if len(terms) == 1 else Sum(*terms)
        return total if self.structure.core_mask is None else self.structured(total.dense())

    def values(self) -> dict[str, Array]:
        return dict(zip(("left", "right", *_SCALES), self.prepare(), strict=True))

    def round_scales(self) -> None:
        for logs in (self.log_rows, self.log_middle, self.log_columns):
            round_logs(logs, HALF)

    @classmethod
    def _from_values(cls, format: LittleBitFormat, values: Arrays, surrogate: Surrogate) -> LittleBit:
        host = {name: jnp.asarray(array) for name, array in values.items()}
        return cls(host["left"], host["right"], host, format, surrogate)


def _blocks_decomposed(core: np.ndarray) -> list[SVD]:
    return [decomposed(block) for block in (core if core.ndim == 3 else core[None])]


def _factorised(blocks: list[SVD], format: LittleBitFormat, rotate: bool, first: int = 0) -> list[SignFactors]:
    """The factors of every path of one core: latent factors as cores, scales of all blocks in a row."""
    paths, blocked = [], isinstance(format.structure, Blocks)
    for path in range(format.paths):
        found = [dual_svid(block, format.rank, rotate=rotate, first=first) for block in blocks]
        if path + 1 < format.paths:  # what is missing
            matrices = [(svd.U * svd.s) @ svd.Vt for svd in blocks]
            blocks = [decomposed(matrix - one.dense()) for matrix, one in zip(matrices, found, strict=True)]
        left, right = (np.stack([getattr(factors, name) for factors in found]) for name in ("left", "right"))
        scales = (np.concatenate([getattr(factors, name) for factors in found]) for name in _SCALES)
        paths.append(SignFactors(left if blocked else left[0], right if blocked else right[0], *scales))
    return paths
