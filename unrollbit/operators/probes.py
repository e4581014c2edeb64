"""Checks with random vectors: is it linear, is the adjoint its adjoint?"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from unrollbit.operators.base import LinearOperator

_TOLERANCE = 1e-3  # relative; float32 gives 1e-6, and what is wrong is wrong by much


def check_linear(name: str, forward: Callable[[np.ndarray], np.ndarray], n: int) -> None:
    """Raise ``ValueError`` unless ``f(2 x - 3 z) = 2 f(x) - 3 f(z)`` for random x and z."""
    x, z = np.random.RandomState(0).standard_normal((2, n)).astype(np.float32)
    expected = 2 * np.asarray(forward(x), np.float64) - 3 * np.asarray(forward(z), np.float64)
    found = np.asarray(forward(2 * x - 3 * z), np.float64)
    error, size = np.linalg.norm(found - expected), np.linalg.norm(expected)
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: gives NaN or infinite entries for a random signal; expected a linear map")
    if not error <= _TOLERANCE * size:
        offset = np.linalg.norm(np.asarray(forward(np.zeros(n, np.float32)), np.float64))
        hint = ": it is not 0 at x = 0, so subtract f(0) from it and from the measurements" if offset > 0 else ""
        raise ValueError(
            f"{name}: expected a linear map, but f(2 x - 3 z) differs from 2 f(x) - 3 f(z) by {error:.2g} of {size:.2g}"
            f"{hint}"
        )


def check_adjoint(name: str, A: LinearOperator) -> None:
    """Raise ``ValueError`` unless ``<A x, y> = <x, A^T y>``, for random x and y, and for y = A x."""
    m, n = A.shape
    random = np.random.RandomState(1)
    x = random.standard_normal(n).astype(np.float32)
    image = np.asarray(A(jnp.asarray(x)), np.float64)
    for y in (image / max(float(np.linalg.norm(image)), 1e-30), random.standard_normal(m) / np.sqrt(m)):
        back = np.asarray(A.T(jnp.asarray(y, jnp.float32)), np.float64)
        left, right = float(image @ y), float(x @ back)
        size = max(float(np.linalg.norm(image)), float(np.linalg.norm(back)))
        if not abs(left - right) <= _TOLERANCE * size:
            raise ValueError(
                f"{name}: the adjoint is not that of the operator: <A x, y> = {left:.4g} and <x, A^T y> = {right:.4g} "
                "for a random x; give another adjoint, or take the matrix, as_operator(A, matrix=True)"
            )
