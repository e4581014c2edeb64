"""The structure of missing samples."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from unrollbit.sizes import check_entries, check_seed, positive_integers
from unrollbit.structures.band import Band
from unrollbit.structures.full import DenseCore


@dataclass(frozen=True)
class Drawn(DenseCore):
    """``m`` rows of the ``n x n`` identity, drawn from a seed: the non-zeros of ``Subsampling.random``.

    Declared by three integers, so that a file stores no mask.
    """

    m: int
    n: int
    seed: int
    transposed: bool = False

    def __post_init__(self) -> None:
        positive_integers(m=self.m, n=self.n)
        check_seed(self.seed)
        if self.m > self.n:
            raise ValueError(f"Drawn: expected at most as many rows as columns, got m = {self.m}, n = {self.n}")

        if not isinstance(self.transposed, bool):
            raise ValueError(f"Drawn: expected transposed true or false, got {self.transposed!r}")

    @property
    def shape(self) -> tuple[int, int]:
        return (self.n, self.m) if self.transposed else (self.m, self.n)

    @property
    def core_mask(self) -> np.ndarray:
        check_entries("Drawn", self.m, self.n)
        mask = np.zeros((self.m, self.n), bool)
        mask[np.arange(self.m), drawn(self.n, self.m, self.seed)] = True
        return mask.T if self.transposed else mask

    @property
    def size(self) -> int:
        return self.m

    @property
    def T(self) -> Drawn:
        return replace(self, transposed=not self.transposed)

    def gram(self) -> Band:
        """The diagonal (that of the columns without a sample is zero)."""
        n = self.shape[1]
        return Band(n, n, 0, 0)


@functools.lru_cache(maxsize=32)
def drawn(n: int, count: int, seed: int) -> np.ndarray:
    """``count`` of ``0..n-1`` in random order; the same for every version of NumPy."""
    chosen = np.random.RandomState(seed).permutation(np.arange(n))[:count].astype(np.int32)
    chosen.flags.writeable = False
    return chosen
