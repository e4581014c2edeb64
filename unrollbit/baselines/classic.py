"""The library's algorithms as they are: classic solvers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from jaxtyping import Array, Float

from unrollbit.algorithms import FISTA, Algorithm, solve
from unrollbit.arguments import instance
from unrollbit.baselines.base import Baseline, Range
from unrollbit.operators import LinearOperator
from unrollbit.values import pytree


@pytree
@dataclass(frozen=True)
class Classic(Baseline):
    """``iterations`` of an algorithm on the physics' own maps (``unrollbit.algorithms.solve``).

    What is worth tuning is asked of the algorithm (``Algorithm.ranges``). ``label``: its name in tables; by default
    that of the algorithm.

    Example:
        >>> from unrollbit.operators import gaussian
        >>> Classic(FISTA(), 50).name
        'fista'
    """

    algorithm: Algorithm = FISTA()  # noqa: RUF009 - frozen
    iterations: int = field(default=100, metadata={"static": True})
    tolerance: float = field(default=0.0, metadata={"static": True})
    label: str | None = field(default=None, metadata={"static": True})

    def __post_init__(self) -> None:
        instance("algorithm", self.algorithm, Algorithm, "FISTA()")

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.label or type(self.algorithm).__name__.lower()

    def __call__(self, problem: Any, y: Float[Array, "*batch m"]) -> Float[Array, "*batch n"]:
        return solve(self.algorithm, problem, y, self.iterations, self.tolerance).x

    def ranges(self, A: LinearOperator, x: Array, y: Array) -> dict[str, Range]:
        return {name: Range(*bounds) for name, bounds in self.algorithm.ranges(A, y).items()}

    def with_parameters(self, **values: Any) -> Self:
        return replace(self, algorithm=replace(self.algorithm, **values))
