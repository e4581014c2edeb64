"""FISTA, accelerated ISTA."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap, Maps, Scalars, State, zeros
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.ista import Proximal, step_size
from unrollbit.operators import LinearOperator
from unrollbit.scalars import ScalarSpec


def nesterov_momentum(depth: int) -> np.ndarray:
    """``(t_k - 1) / t_{k+1}`` with ``t_0 = 1``, ``t_{k+1} = (1 + sqrt(1 + 4 t_k^2)) / 2``; shape (depth,)."""
    t, momentum = 1.0, np.empty(depth)
    for k in range(depth):
        following = (1.0 + np.sqrt(1.0 + 4.0 * t * t)) / 2.0
        momentum[k], t = (t - 1.0) / following, following
    return momentum


@dataclass(frozen=True)
class FISTA(Proximal):
    """``x_{k+1} = shrink(z_k + step_k W^T (y - A z_k))``, ``z_{k+1} = x_{k+1} + momentum_k (x_{k+1} - x_k)``.

    W (m, n) starts at A, step_k at 1 / ||A||^2, the momentum at Nesterov's sequence. Source: Beck, Teboulle 2009.
    """

    monitored = ("x", "z")

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        return {"W": LinearMap(A, A.mask(), transposed=True)}

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        step = step_size(A)
        return {
            "step": ScalarSpec(step, "positive"),
            "momentum": ScalarSpec(nesterov_momentum),
            **self.shrinkage.scalars(step * self.regularisation),
        }

    def first_order(self, s: Scalars) -> FirstOrder:
        ahead = np.concatenate([np.zeros(1), np.asarray(s["momentum"], np.float64)[:-1]])  # of the layer before
        return FirstOrder.of(self.shrinkage, s, extrapolation=ahead)

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return {"x": zeros(y, A.shape[1]), "z": zeros(y, A.shape[1])}

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        z = state["z"]
        x = self.shrinkage(z + s["step"] * maps["W"].T(y - A(z)), s, 1.0)
        return {"x": x, "z": x + s["momentum"] * (x - state["x"])}
