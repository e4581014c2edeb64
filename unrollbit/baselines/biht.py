"""Binary iterative hard thresholding: signals from the signs of measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.arguments import integer
from unrollbit.arrays import norm, over
from unrollbit.baselines.base import Compiled, Range
from unrollbit.operators import LinearOperator
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class BIHT(Compiled):
    """Signals of norm ``size`` from the signs of ``y``:

    ``x <- H_k(x + A^T (sign(y) - sign(A x)) / (2 sqrt(m) c))`` from 0, where ``c = ||A||_F / sqrt(n)`` is the norm of
    a column and ``H_k`` keeps the ``nonzeros`` entries of largest magnitude. Of all iterates the one with the fewest
    signs that disagree is taken.
    Source: Jacques, Laska, Boufounos and Baraniuk, IEEE Trans. Inf. Theory 2013, section V.

    Raises ``ValueError`` for a number of non-zeros outside 1 ... n.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> A = gaussian(400, 16, seed=0)
        >>> x = jnp.zeros((1, 16)).at[0, 3].set(-1.0)
        >>> bool(jnp.allclose(BIHT(nonzeros=1)(A, A(x)), x))
        True
    """

    name: ClassVar[str] = "biht"
    nonzeros: int = field(metadata={"static": True})
    size: float = 1.0
    iterations: int = field(default=500, metadata={"static": True})

    def __post_init__(self) -> None:
        integer("nonzeros", self.nonzeros, 1)
        integer("iterations", self.iterations, 1)

    def constants(self, A: LinearOperator) -> Array:
        integer("nonzeros", self.nonzeros, 1, A.shape[1])
        return A.column_rms()  # ||A||_F / sqrt(n)

    def estimate(self, A: LinearOperator, constants: Array, y: Array) -> Array:
        m, n = A.shape
        step = 1 / (2 * math.sqrt(m) * constants)
        wanted = jnp.where(y < 0, -1.0, 1.0).astype(y.dtype)

        def iterate(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], None]:
            x, best, fewest = state
            residual = wanted - jnp.where(A(x) < 0, -1, 1).astype(y.dtype)
            wrong = jnp.sum(residual != 0, axis=-1, keepdims=True)
            best, fewest = jnp.where(wrong < fewest, x, best), jnp.minimum(wrong, fewest)
            moved = x + step * A.T(residual)
            smallest_kept = jax.lax.top_k(jnp.abs(moved), self.nonzeros)[0][..., -1:]
            return (jnp.where(jnp.abs(moved) >= smallest_kept, moved, 0), best, fewest), None

        zero = jnp.zeros((*y.shape[:-1], n), y.dtype)
        start = (zero, zero, jnp.full((*y.shape[:-1], 1), m + 1))
        _, best, _ = jax.lax.scan(iterate, start, None, length=self.iterations)[0]
        length = norm(best, keepdims=True)
        return over(self.size * best, length)  # no iterate was better than 0: 0

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The number of non-zeros around that of the signals."""
        n = A.shape[1]
        mean = float(jnp.mean(jnp.sum(x != 0, axis=-1)))
        low, high = max(1.0, mean / 2), min(float(n), max(1.0, mean * 2))
        return {"nonzeros": Range(low, max(high, low), 3, (1, n), whole=True)}
