"""Reference solutions: the Lasso to the last digits, and the fixed point of exact ADMM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unrollbit.theory.numerics import soft, spectral_norm

_WANTED = 1e-12  # relative to ||A^T y||_inf: small physics or signals are to be solved as well as large ones
_ROUNDS, _STEPS = 60, 100


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

    Optimality: ``A_i^T r = tau sign(x_i)`` where ``x_i != 0`` and ``|A_i^T r| <= tau`` elsewhere. FISTA with restart
    finds support and signs; given these the solution is that of a linear system. Raises ``ValueError`` for wrong shapes
    or ``tau < 0``.

    Source: A. Beck and M. Teboulle, 2009 (FISTA); B. O'Donoghue and E. Candès, 2015 (restart).

    Example:
        >>> solve_lasso(np.eye(3), np.array([3.0, -2.0, 0.5]), 1.0).x.tolist()
        [2.0, -1.0, 0.0]
    """
    A, y = np.asarray(A, np.float64), np.asarray(y, np.float64)
    if A.ndim != 2 or y.shape != A.shape[:1]:
        raise ValueError(f"solve_lasso: expected A (m, n) and y (m,), got shapes {A.shape} and {y.shape}")
    if not tau >= 0:
        raise ValueError(f"solve_lasso tau: expected >= 0, got {tau}")
    if tau == 0:
        x = np.linalg.lstsq(A, y, rcond=None)[0]
        x = x + np.linalg.lstsq(A, y - A @ x, rcond=None)[0]
        return _judged(A, y, 0.0, x)
    step = 1 / max(float(spectral_norm(A)) ** 2, np.finfo(float).tiny)
    x = np.zeros(A.shape[1])
    best = _judged(A, y, tau, x)
    for _ in range(_ROUNDS):
        if best.solved:
            break
        x = _fista(A, y, tau, step, x)
        for candidate in (x, _polished(A, y, tau, x)):
            found = _judged(A, y, tau, candidate)
            best = found if found.violation < best.violation else best
    return best


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


def _judged(A: np.ndarray, y: np.ndarray, tau: float, x: np.ndarray) -> Lasso:
    residual = y - A @ x
    slope = A.T @ residual
    violation = np.where(x != 0, np.abs(slope - tau * np.sign(x)), np.maximum(np.abs(slope) - tau, 0.0))
    scale = max(float(np.abs(A.T @ y).max(initial=0.0)), np.finfo(float).tiny)
    return Lasso(x, residual, float(violation.max(initial=0.0)) / scale)


def _fista(A: np.ndarray, y: np.ndarray, tau: float, step: float, x: np.ndarray) -> np.ndarray:
    point, t = x, 1.0
    for _ in range(_STEPS):
        new = soft(point + step * (A.T @ (y - A @ point)), step * tau)
        if (point - new) @ (new - x) > 0:  # the momentum points uphill: restart
            t = 1.0
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        point = new + (t - 1) / after * (new - x)
        x, t = new, after
    return x


def _polished(A: np.ndarray, y: np.ndarray, tau: float, x: np.ndarray) -> np.ndarray:
    """The solution with the support and signs of ``x``, or ``x`` where the columns are dependent."""
    inside = x != 0
    columns = A[:, inside]
    if not 0 < columns.shape[1] <= A.shape[0]:
        return x
    gram, wanted = columns.T @ columns, columns.T @ y - tau * np.sign(x[inside])
    try:
        values = np.linalg.solve(gram, wanted)
        values = values + np.linalg.solve(gram, wanted - gram @ values)  # one step of iterative refinement
    except np.linalg.LinAlgError:
        return x
    polished = np.zeros_like(x)
    polished[inside] = values
    return polished
