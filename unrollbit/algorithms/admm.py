"""ADMM, the alternating direction method of multipliers, for penalised least squares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Array

from unrollbit.algorithms.analytic import regularised_inverse
from unrollbit.algorithms.base import Form, LinearMap, Maps, Scalars, State, zeros
from unrollbit.algorithms.ista import Proximal
from unrollbit.operators import LinearOperator
from unrollbit.pytrees import known
from unrollbit.scalars import ScalarSpec


@dataclass(frozen=True)
class ADMM(Proximal):
    """Scaled ADMM in the single state v (x is the shrunken variable, v_0 = 0, x_0 = 0)::

        q_k     = 2 x_k - v_k
        v_{k+1} = v_k - x_k + q_k + step_k W^T (y - A q_k)
        x_{k+1} = shrink(v_{k+1})

    By Woodbury's identity the exact x-update of ADMM is ``q + W^T (y - A q)`` with ``W = (A A^T + rho I)^{-1} A``,
    where W (m, n) starts; step_k starts at 1 and the threshold at lambda / rho.

    Source: Boyd et al. 2011, section 6.4.
    """

    rho: float = 1.0
    monitored = ("x", "v")  # x stays 0 until v has grown beyond the threshold

    def __post_init__(self) -> None:
        super().__post_init__()
        if known(self.rho) and not 0 < self.rho < math.inf:
            raise ValueError(f"rho: expected a finite penalty parameter > 0, got {self.rho}")

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        inverse = regularised_inverse(A, self.rho)
        return {"W": LinearMap(inverse, inverse.mask(), transposed=True)}  # the inverse of a band is dense

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        return {"step": ScalarSpec(1.0, "positive"), **self.shrinkage.scalars(self.regularisation / self.rho)}

    def ranges(self, A: LinearOperator, y: Array) -> dict[str, tuple[float, float, int]]:
        """rho from 1e-4 to 1 of ``||A||^2``, each with its own best weight: it changes nothing that ADMM converges to,
        but much after few iterations.
        """
        square = float(A.norm()) ** 2
        return {"rho": (1e-4 * square, square, 5), **super().ranges(A, y)}

    @property
    def form(self) -> Form:
        return "admm"

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return {"x": zeros(y, A.shape[1]), "v": zeros(y, A.shape[1])}

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x, v = state["x"], state["v"]
        q = 2.0 * x - v
        v = v - x + q + s["step"] * maps["W"].T(y - A(q))
        return {"x": self.shrinkage(v, s, 1.0), "v": v}
