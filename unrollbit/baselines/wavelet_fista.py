"""Sparse wavelet coefficients of signals on a grid."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.algorithms import FISTA, solve
from unrollbit.baselines.base import Baseline, Range
from unrollbit.operators import Composition, LinearOperator, Wavelet
from unrollbit.operators.physics import physics_of
from unrollbit.shrinkage import Grouped, Soft
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class WaveletFISTA(Baseline):
    """``argmin_c ||y - A Psi c||^2 / 2 + regularisation sum |c_j|`` over the details of a wavelet transform, by FISTA;
    the estimate is ``Psi c``. The approximation is not penalised.

    ``synthesis``: the unknowns are coefficients of another transform of the same grid.

    Raises ``ValueError`` for a grid with a side that is odd.
    """

    name: ClassVar[str] = "wavelet fista"
    signal_shape: tuple[int, ...] = field(metadata={"static": True})
    synthesis: LinearOperator | None = None
    regularisation: float = 1e-2
    wavelet: str = field(default="db4", metadata={"static": True})
    iterations: int = field(default=200, metadata={"static": True})

    def physics(self, A: LinearOperator) -> tuple[LinearOperator, LinearOperator]:
        """``A Psi``, and the synthesis of the unknowns from the wavelet coefficients."""
        psi = Wavelet.of(self.signal_shape, self.wavelet)
        inner = psi if self.synthesis is None else Composition(self.synthesis.T, psi)
        parts = A.split
        direct = self.synthesis is not None and parts is not None and parts[1] == self.synthesis
        return Composition(parts[0], psi) if direct else Composition(A, inner), inner  # pyright: ignore[reportOptionalSubscript]

    def __call__(self, problem: Any, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        physics, inner = self.physics(physics_of(problem))
        details = np.minimum(Wavelet.of(self.signal_shape, self.wavelet).subbands(), 1)
        step = 1 / float(physics.norm()) ** 2
        thresholds = (("threshold", (0.0, step * float(self.regularisation))),)
        shrinkage = Grouped(Soft(), tuple(int(band) for band in details), thresholds)
        return _synthesised(inner, solve(FISTA(shrinkage, self.regularisation), physics, y, self.iterations).x)

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        """The weight from 1e-4 to 0.5 of the mean of the largest correlation of a coefficient with y."""
        largest = float(jnp.mean(jnp.max(jnp.abs(self.physics(A)[0].T(jnp.asarray(y))), axis=-1))) or 1.0
        return {"regularisation": Range(1e-5 * largest, 0.05 * largest, 7)}


@jax.jit
def _synthesised(synthesis: LinearOperator, c: Array) -> Array:
    """Compiled: step by step a wavelet takes ten times as long as all the iterations."""
    return synthesis(c)
