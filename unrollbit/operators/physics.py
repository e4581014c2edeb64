"""The physics of an argument: an operator, a problem that has one, or what becomes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import unrollbit.operators.foreign  # noqa: F401 - adds its converters
from unrollbit.arguments import choice, shown, switch
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.conversion import CONVERTERS, Request, Unknowns


def as_operator(
    A: Any,
    shape: int | tuple[int, ...] | None = None,
    *,
    adjoint: Callable[..., Any] | None = None,
    unknowns: Unknowns = "real",
    matrix: bool | None = None,
    check: bool = True,
) -> LinearOperator:
    """The physics of what you have. Whatever takes physics here calls it.

    ======================================  ==================================================================
    matrices of NumPy, JAX, torch, lists    ``Dense``
    sparse ones of SciPy, JAX, torch        ``Sparse``: they stay sparse
    operators of SciPy, PyLops, lineax      their matrix if it is small; else they run as they are
    a linear function of JAX                the same; the adjoint is derived (or ``adjoint``)
    complex ones                            measurements are complex, unknowns are real (or ``unknowns``)
    ``LinearOperator``, a problem           as it is, or has it
    ======================================  ==================================================================

    Operators of SciPy and PyLops that are no matrix run outside of JAX, by callbacks, and ``matrix=None`` takes the
    matrix of up to 4,194,304 entries of them, and of functions. What is not taken as a matrix cannot be packed. It is
    checked with random vectors: that it is linear, and that the adjoint is its adjoint. Signals of several axes
    are flattened row by row.

    Args:
        A: see above. More kinds: ``add_converter``.
        shape: of a signal that a function takes: ``n`` or ``(height, width)``. Needed for functions only.
        adjoint: of a function, one that JAX cannot derive; it takes what the function gives.
        unknowns: of complex operators, "real" signals or "complex" ones, which networks see as ``concatenate([x.real,
            x.imag], -1)``: n counts both.
        matrix: True takes the matrix of any operator, False of none, None of those that are small.
        check: False leaves the checks of linearity and adjoint out.

    Raises:
        TypeError: what is no linear operator, or a function that gives no array.
        ValueError: no matrix, entries that are NaN, no shape of the signal, a function that is not linear, an adjoint
            that is none.

    Example:
        >>> import jax.numpy as jnp, numpy as np
        >>> as_operator(np.ones((2, 3)))
        Dense(matrix=float32[2, 3], recipe=None, structure=None)
        >>> blur = as_operator(lambda image: (image + jnp.roll(image, 1, axis=0)) / 2, shape=(8, 8))
        >>> blur.shape
        (64, 64)
    """
    unknowns = choice("unknowns", unknowns, get_args(Unknowns))
    matrix = None if matrix is None else switch("matrix", matrix)
    if adjoint is not None and not callable(adjoint):
        raise TypeError(f"adjoint: expected a function or None, got {shown(adjoint)}")
    return converted(A, Request("A", _sides(shape), adjoint, unknowns, matrix, switch("check", check)))


def physics_of(problem: Any, name: str = "problem") -> LinearOperator:
    """The operator that an argument is, has (``problem.operator``) or becomes (``as_operator``); ``name`` is that of
    the argument.

    Raises ``TypeError`` for one that has none, and what ``as_operator`` raises.
    """
    return converted(problem, Request(name))


def grid_of_unknowns(problem: Any) -> tuple[int, ...] | None:
    """The grid of which the unknowns are samples, row by row, where a problem or an operator says so
    (``signal_shape``); None elsewhere.
    """
    return getattr(problem, "signal_shape", None)  # what becomes an operator has no such thing


def converted(A: Any, request: Request) -> LinearOperator:
    """The operator that an object is, has or becomes. Raises as ``as_operator``."""
    if isinstance(A, LinearOperator):
        return A
    held = getattr(A, "operator", None)
    if isinstance(held, LinearOperator):
        return held
    kind = None if isinstance(A, type) else next((kind for kind in CONVERTERS if kind.takes(A)), None)
    if kind is not None:
        return kind.build(A, request)
    advice = "; give what the file or module holds" if isinstance(A, str) else ""
    if isinstance(A, type):
        advice = f"; make one of it, {A.__name__}(...)"
    raise TypeError(
        f"{request.name}: expected a LinearOperator, a problem that has one, or what becomes one (a matrix, sparse or "
        f"not; an operator of another library; a function with its shape), got {shown(A)}{advice}"
    )


def _sides(shape: Any) -> tuple[int, ...] | None:
    if shape is None:
        return None
    sides = tuple(shape) if isinstance(shape, tuple | list) else (shape,)
    if not sides or any(isinstance(side, bool) or not isinstance(side, int) or side < 1 for side in sides):
        raise ValueError(f"shape: expected the shape of a signal, n or (height, width), got {shown(shape)}")
    return sides
