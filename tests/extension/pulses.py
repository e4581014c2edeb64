"""A problem of a user's own: pulses that decay, seen through their sums."""

from dataclasses import dataclass

import numpy as np

from unrollbit.operators import Dense
from unrollbit.problems import DrawsSparse, Noise, Problem, register_problem


@register_problem()
@dataclass(frozen=True)
class Pulses(DrawsSparse, Problem):
    decay: float = 0.5
    n: int = 16
    sparsity: float = 0.1
    noise: Noise | None = None
    subset: str = "train"

    @property
    def operator(self):
        return Dense.of(np.tril(self.decay ** np.subtract.outer(np.arange(self.n), np.arange(self.n, dtype=float))))
