"""The physics of an argument: an operator, or a problem that has one."""

from __future__ import annotations

from typing import Any

from unrollbit.arguments import shown
from unrollbit.operators.base import LinearOperator


def physics_of(problem: Any) -> LinearOperator:
    """The operator that an argument ``problem`` is or has; raises ``TypeError`` for one that has none."""
    A = problem if isinstance(problem, LinearOperator) else getattr(problem, "operator", None)
    if not isinstance(A, LinearOperator):
        advice = "; Dense.of(A) makes one of a matrix" if getattr(problem, "ndim", 0) == 2 else ""
        raise TypeError(f"problem: expected a LinearOperator or a problem that has one, got {shown(problem)}{advice}")
    return A
