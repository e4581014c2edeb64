"""Sparse signals measured block by block: physics with structural zeros."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from unrollbit.arguments import choice
from unrollbit.operators import BlockDiagonal
from unrollbit.operators.random import gaussian_blocks, hadamard_blocks, rademacher_blocks
from unrollbit.problems.base import Problem, Subset, checked_seed, fraction, positive_int
from unrollbit.problems.noise import Noise, noise_arguments, noise_of
from unrollbit.problems.registration import register_problem
from unrollbit.problems.sparse import DrawsSparse

BlockMatrix = Literal["gaussian", "rademacher", "hadamard"]
_BLOCKS = {"gaussian": gaussian_blocks, "rademacher": rademacher_blocks, "hadamard": hadamard_blocks}


@register_problem("operator")
@dataclass(frozen=True, init=False)
class BlockSparseRecovery(DrawsSparse, Problem):
    """``y_b = A_b x_b + noise`` for ``b = 1..blocks``: a block-diagonal ``A`` and Bernoulli-Gaussian ``x``.

    The unknowns of block ``b`` are measured by block ``b`` alone, so ``A`` has ``1 / blocks`` of its entries, and a
    network that knows this structure stores only those.

    Example:
        >>> import jax
        >>> problem = BlockSparseRecovery(blocks=4, m=8, n=16)
        >>> x, y = problem.sample(jax.random.key(0), 5)
        >>> x.shape, y.shape
        ((5, 64), (5, 32))
        >>> problem.operator.mask()
        Blocks(count=4, block_m=8, block_n=16)
    """

    operator: BlockDiagonal
    sparsity: float
    noise: Noise | None
    matrix: BlockMatrix
    seed: int
    subset: Subset = "train"

    def __init__(
        self,
        blocks: int = 8,
        m: int = 32,
        n: int = 64,
        sparsity: float = 0.1,
        snr_db: float | None = None,
        matrix: BlockMatrix = "gaussian",
        seed: int = 0,
        noise: Noise | None = None,
    ) -> None:
        """Draw the blocks from ``seed``; no two are alike.

        Args:
            blocks: number of blocks.
            m, n: number of measurements and of unknowns of each block.
            sparsity: expected share of non-zero entries.
            snr_db: signal-to-noise ratio of each whole measurement in dB; None for no noise.
            matrix: "gaussian", "rademacher" or "hadamard" (both +-1 / sqrt(m)); columns have unit norm.
            seed: seed of the physics.
            noise: ``Gaussian`` of a stated SNR or standard deviation; ``snr_db`` is short for the first.

        Raises:
            ValueError: an argument out of range, or an unknown matrix.
        """
        sizes = positive_int("blocks", blocks), positive_int("m", m), positive_int("n", n)
        drawn = _BLOCKS[choice("matrix", matrix, _BLOCKS)]
        seed = checked_seed(seed)
        self._set(drawn(*sizes, seed), fraction("sparsity", sparsity), noise_of(noise, snr_db), matrix, seed)

    def to_spec(self) -> dict[str, Any]:
        blocks, m, n = self.operator.mask().core_shape
        fields = ("sparsity", "matrix", "seed")
        spec = {"kind": "BlockSparseRecovery", "blocks": blocks, "m": m, "n": n}
        spec |= {name: getattr(self, name) for name in fields}
        return spec | noise_arguments(self.noise)
