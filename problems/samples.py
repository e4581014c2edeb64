"""Problems whose signals are rows of arrays: real data instead of a distribution."""

from __future__ import annotations

from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import choice
from unrollbit.operators import Hadamard, LinearOperator, Rademacher, gaussian
from unrollbit.problems.base import SUBSETS, Subset, checked_subset, fraction, subset_key
from unrollbit.problems.measured import Measured

Samples = tuple[Float[Array, "train n"], Float[Array, "validation n"], Float[Array, "test n"]]
MATRICES = {"gaussian": gaussian, "rademacher": Rademacher, "hadamard": Hadamard}


class DrawsFromSamples(Measured):
    """What problems share whose unknowns are the rows of ``samples``, one array for each of the three subsets.

    ``sample`` draws rows with replacement on the device, so that it runs inside a compiled loop; the measurement is
    made afresh, with fresh noise. ``all`` gives every row once, with noise that depends on ``seed`` and subset only.
    Goes before ``Problem`` in the list of bases of a frozen dataclass with the fields below.
    """

    samples: Samples
    seed: int
    subset: Subset

    def sample(self, key: Array, batch: int) -> tuple[Float[Array, "batch n"], Float[Array, "batch m"]]:
        """Draw ``batch`` pairs of this subset with replacement; a function of ``key`` alone."""
        row_key, noise_key = jax.random.split(subset_key(key, self.subset))
        x = draw_rows(row_key, batch, self._rows())[0]
        return x, self.measured(x, noise_key)

    def all(self) -> tuple[Float[Array, "count n"], Float[Array, "count m"]]:
        """Every pair of this subset, once and in order."""
        x = self._rows()
        key = subset_key(jax.random.key(self.seed), self.subset)
        return x, self.measured(x, key)

    @property
    def count(self) -> int:
        """How many signals this subset has."""
        return len(self._rows())

    def split(self, name: Subset) -> Self:
        """The same problem drawing from another subset. Raises ``ValueError`` for an unknown name."""
        return self._with(subset=checked_subset(name))  # pyright: ignore[reportAttributeAccessIssue]

    def _rows(self) -> Float[Array, "count n"]:
        return self.samples[SUBSETS.index(self.subset)]


def draw_rows(key: Array, batch: int, *arrays: Array) -> tuple[Array, ...]:
    """The same ``batch`` random rows, with replacement, of arrays of equal length."""
    rows = jax.random.randint(key, (batch,), 0, arrays[0].shape[0], dtype=jnp.int32)
    return tuple(jnp.take(array, rows, axis=0, mode="clip") for array in arrays)


def measurement(matrix: Any, ratio: Any, n: int, seed: int) -> LinearOperator:
    """The ``(ratio * n, n)`` measurement of a named random family.

    Raises ``ValueError`` for an unknown family or a ``ratio`` outside (0, 1] or too small for one measurement.
    """
    drawn = MATRICES[choice("matrix", matrix, MATRICES)]
    m = round(fraction("ratio", ratio) * n)
    if m < 1:
        raise ValueError(f"ratio: {ratio} of {n} samples leaves no measurement; expected at least {1 / n:.3g}")
    return drawn(m, n, seed)
