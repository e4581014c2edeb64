"""The loss of the certificates: the squared error over a constant, clipped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from unrollbit.theory.numerics import at_most


def clipped_losses(
    x_hat: Float[np.ndarray, "N n"], x: Float[np.ndarray, "N n"], c: float, B: float = 1.0
) -> Float[np.ndarray, " N"]:
    """``min(||x_hat - x||^2 / c, B)`` per signal, float64.

    ``c`` is fixed before data: ``E ||x||^2`` of the generator, so that the zero estimate has a risk of about 1. Raises
    ``ValueError`` for unequal shapes, or c or B that are not positive.

    Example:
        >>> clipped_losses(np.zeros((2, 2)), np.array([[1.0, 0.0], [3.0, 4.0]]), c=10.0).tolist()
        [0.1, 1.0]
    """
    a, b = np.asarray(x_hat, np.float64), np.asarray(x, np.float64)
    if a.shape != b.shape or a.ndim != 2 or not (c > 0 and B > 0):
        raise ValueError(
            f"clipped_losses: expected equal shapes (N, n) and c, B > 0; got {a.shape}, {b.shape}, {c}, {B}"
        )
    with np.errstate(over="ignore"):  # an error whose square leaves float64 is clipped like any other
        return np.minimum(((a - b) ** 2).sum(-1) / c, B)


def part_losses(
    x_hat: Float[np.ndarray, "N n"],
    x: Float[np.ndarray, "N n"],
    parts: Sequence[Sequence[int]],
    c: float | Sequence[float],
    B: float = 1.0,
) -> Float[np.ndarray, "N parts"]:
    """``min(||x_hat_p - x_p||^2 / c_p, B)`` per signal and part p of the unknowns, float64, for ``G5``.

    ``c`` is one constant per part, or one for all. Raises ``ValueError`` as ``clipped_losses``, and for constants that
    are not one per part.
    """
    constants = [c] * len(parts) if isinstance(c, int | float) else list(c)
    if len(constants) != len(parts) or not parts:
        raise ValueError(f"part_losses: expected one constant for each of {len(parts)} >= 1 parts, got {c}")
    a, b = np.asarray(x_hat, np.float64), np.asarray(x, np.float64)
    chosen = [list(part) for part in parts]
    columns = [
        clipped_losses(a[..., part], b[..., part], float(constant), B)
        for part, constant in zip(chosen, constants, strict=True)
    ]
    return np.stack(columns, axis=1)


def checked_losses(
    name: str, losses: Float[np.ndarray, "*shape"], B: float, ndim: int = 1
) -> tuple[Float[np.ndarray, "*shape"], bool]:
    """Losses in float64 and whether all lie in [0, B]. Raises ``ValueError`` for another number of axes, or none."""
    values = np.asarray(losses, np.float64)
    wanted = "(N,)" if ndim == 1 else "(N, parts)"
    if values.ndim != ndim or not values.size or not B > 0:
        raise ValueError(f"{name}: expected losses {wanted} and B > 0, got shape {values.shape} and {B}")
    return values, bool((values >= 0).all() and at_most(values, B).all())
