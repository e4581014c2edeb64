"""Gradient descent (with an optional projection or proximal map)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Array

from unrollbit.algorithms.base import Form, LinearMap, Maps, Scalars, State, zeros
from unrollbit.algorithms.first_order import FirstOrder
from unrollbit.algorithms.ista import Proximal, step_size
from unrollbit.operators import LinearOperator
from unrollbit.scalars import ScalarSpec
from unrollbit.shrinkage import Identity, Shrinkage


@dataclass(frozen=True)
class GradientDescent(Proximal):
    """``x_{k+1} = x_k + step_k W^T (y - A x_k)`` from ``x_0 = 0``; W (m, n) starts at A, step_k at 1 / ||A||^2.

    Minimises ``||y - A x||^2 / 2``; reaches the least-squares solution (of least norm where A is wide). A shrinkage
    such as ``Box`` or ``NonNegative`` makes it projected gradient descent.
    """

    shrinkage: Shrinkage = Identity()
    regularisation: float = 0.0

    def maps(self, A: LinearOperator) -> dict[str, LinearMap]:
        return {"W": LinearMap(A, A.mask(), transposed=True)}

    def scalars(self, A: LinearOperator) -> dict[str, ScalarSpec]:
        step = step_size(A)
        return {"step": ScalarSpec(step, "positive"), **self.shrinkage.scalars(step * self.regularisation)}

    @property
    def form(self) -> Form:
        return "gd" if self.shrinkage.linear else "ista"

    def first_order(self, s: Scalars) -> FirstOrder:
        return FirstOrder.of(self.shrinkage, s)

    def init(self, y: Array, A: LinearOperator, s: Scalars) -> State:
        return {"x": zeros(y, A.shape[1])}

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x = state["x"]
        return {"x": self.shrinkage(x + s["step"] * maps["W"].T(y - A(x)), s, 1.0)}
