"""Reference solutions: the Lasso to the last digits, and the fixed point of exact ADMM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unrollbit.theory.numerics import LARGEST, finite

_WANTED = 1e-12  # relative to ||A^T y||_inf: small physics or signals are to be solved as well as large ones
_ENOUGH = 1e-13  # where the search stops
_RANK = 1e-12  # relative singular value below which columns count as dependent
_STEPS = 20  # per row and column of A; few are ever needed
_FREE = 1e-9  # length of a unit sign vector's part in the null space that is not rounding


@dataclass(frozen=True)
class Lasso:
    """A minimiser ``x`` of ``0.5 ||y - A x||^2 + tau ||x||_1``, its ``residual = y - A x``, and the largest violation
    of the optimality conditions, relative to ``||A^T y||_inf``; ``solved`` says that it is at most 1e-12.
    """

    x: Float[np.ndarray, " n"]
    residual: Float[np.ndarray, " m"]
    violation: float

    @property
    def solved(self) -> bool:
        """Whether theorems may refer to it."""
        return self.violation <= _WANTED


def solve_lasso(A: Float[np.ndarray, "m n"], y: Float[np.ndarray, " m"], tau: float) -> Lasso:
    """Solve the Lasso; least squares (of least norm) for ``tau = 0``.

    Optimality: ``A_i^T r = tau sign(x_i)`` where ``x_i != 0`` and ``|A_i^T r| <= tau`` elsewhere. Active-set search:
    the unknown that violates this most joins the support with its sign; on a support with given signs the solution is
    that of a linear system, towards which the estimate moves until an unknown reaches 0 and leaves. Every step lowers
    the objective, so that no support comes back. Raises ``ValueError`` for wrong shapes or ``tau < 0``.

    Source: H. Lee, A. Battle, R. Raina and A. Ng, "Efficient sparse coding algorithms", 2007 (feature-sign search).

    Example:
        >>> solve_lasso(np.eye(3), np.array([3.0, -2.0, 0.5]), 1.0).x.tolist()
        [2.0, -1.0, 0.0]
    """
    A, y = np.asarray(A, np.float64), np.asarray(y, np.float64)
    if A.ndim != 2 or not A.size or y.shape != A.shape[:1]:
        raise ValueError(f"solve_lasso: expected A (m, n) and y (m,), got shapes {A.shape} and {y.shape}")
    if not 0 <= tau < np.inf:
        raise ValueError(f"solve_lasso tau: expected a finite weight >= 0, got {tau}")
    a, b = (_unit(finite(f"solve_lasso {name}", values)) for name, values in (("A", A), ("y", y)))
    if (a, b) != (1.0, 1.0):  # x is in units of b / a
        near_one = solve_lasso(A / a, y / b, min(tau / a / b, LARGEST))
        return Lasso(near_one.x / a * b, near_one.residual * b, near_one.violation)
    if tau == 0:
        x = np.linalg.lstsq(A, y, rcond=None)[0]
        x = x + np.linalg.lstsq(A, y - A @ x, rcond=None)[0]
        return _judged(A, y, 0.0, x)
    x, size = np.zeros(A.shape[1]), float(np.abs(A.T @ y).max(initial=0.0))
    for _ in range(_STEPS * sum(A.shape)):
        slope, inside, signs = A.T @ (y - A @ x), x != 0, np.sign(x)
        if np.abs(slope - tau * signs)[inside].max(initial=0.0) <= _ENOUGH * size:
            outside = np.where(inside, 0.0, np.abs(slope))
            joins = int(outside.argmax())
            if outside[joins] <= tau + _ENOUGH * size:
                break
            inside[joins], signs[joins] = True, np.sign(slope[joins])
        x[inside] = _moved(A[:, inside], y, tau, x[inside], signs[inside])
    return _judged(A, y, tau, x)


def admm_fixed_point(
    A: Float[np.ndarray, "m n"], solution: Lasso, rho: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """``v`` and ``q = 2 z - v`` of exact ADMM at rest, from the Lasso solution ``z``: ``v = z + A^T (y - A z) / rho``.

    Proof: at rest ``z = (A^T A + rho I)^{-1} (A^T y + rho q)``, that is ``A^T (y - A z) = rho (z - q) = rho (v - z)``;
    and ``z = S_{tau / rho}(v)`` is the optimality condition of the Lasso. Raises ``ValueError`` unless ``rho > 0``.
    """
    if not rho > 0:
        raise ValueError(f"admm_fixed_point rho: expected > 0, got {rho}")
    v = solution.x + A.T @ solution.residual / rho
    return v, 2 * solution.x - v


def _unit(values: np.ndarray) -> float:
    """The power of two next to the largest magnitude: dividing by it is exact, and squares then stay in float64."""
    largest = float(np.abs(values).max())
    return 2.0 ** int(np.frexp(largest)[1]) if largest else 1.0


def _judged(A: np.ndarray, y: np.ndarray, tau: float, x: np.ndarray) -> Lasso:
    residual = y - A @ x
    slope = A.T @ residual
    violation = np.where(x != 0, np.abs(slope - tau * np.sign(x)), np.maximum(np.abs(slope) - tau, 0.0))
    scale = float(np.abs(A.T @ y).max(initial=0.0)) or 1.0
    return Lasso(x, residual, float(violation.max(initial=0.0)) / scale)


def _moved(A: np.ndarray, y: np.ndarray, tau: float, x: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """``x`` moved towards the solution for these columns and signs, until an entry reaches 0.

    Where the columns are dependent, first along their null space, which lowers the l1 norm and leaves ``A x`` as it is.
    """
    left, values, rows = np.linalg.svd(A, full_matrices=True)
    rank = int((values > _RANK * values[0]).sum()) if values.size else 0
    null = rows[rank:]
    direction, length = -null.T @ (null @ signs), np.inf
    if np.linalg.norm(direction) <= _FREE * np.sqrt(len(signs)):
        # of the residual only the least squares solution is needed: the squares of the values would double its digits
        values, within = values[:rank], rows[:rank]
        fit = left.T[:rank] @ (y - A @ x) / values
        direction, length = within.T @ (fit - tau * (within @ signs) / values**2), 1.0
    to_zero = np.full(len(x), np.inf)
    np.divide(-x, direction, out=to_zero, where=np.sign(x) * direction < 0)
    step = min(length, float(to_zero.min()))
    return np.where(to_zero == step, 0.0, x + step * direction) if np.isfinite(step) else x
