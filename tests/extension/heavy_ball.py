"""A user's own algorithm: gradient descent with a heavy ball."""

from dataclasses import dataclass

from unrollbit.algorithms import Algorithm, LinearMap
from unrollbit.algorithms.base import zeros
from unrollbit.algorithms.ista import step_size
from unrollbit.scalars import ScalarSpec


@dataclass(frozen=True)
class HeavyBall(Algorithm):
    """``x_{k+1} = shrink(x_k + step W^T (y - A x_k) + friction (x_k - x_{k-1}))``."""

    friction: float = 0.5

    def maps(self, A):
        return {"W": LinearMap(A, A.mask(), transposed=True)}

    def scalars(self, A):
        return {"step": ScalarSpec(step_size(A), "positive"), **self.shrinkage.scalars(0.01)}

    def init(self, y, A, s):
        return {"x": zeros(y, A.shape[1]), "before": zeros(y, A.shape[1])}

    def step(self, state, y, A, maps, s):
        x = state["x"]
        u = x + s["step"] * maps["W"].T(y - A(x)) + self.friction * (x - state["before"])
        return {"x": self.shrinkage(u, s, 1.0), "before": x}
