"""What ``as_operator`` takes: a table that anybody can add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from unrollbit.operators.base import LinearOperator

Unknowns = Literal["real", "complex"]
SMALL = 2**22  # entries (16 MiB) up to which code of other libraries becomes a matrix


class Request(NamedTuple):
    """The options of ``as_operator``, for what builds an operator, and the name of the argument, for messages."""

    name: str = "A"
    shape: tuple[int, ...] | None = None
    adjoint: Callable[..., Any] | None = None
    unknowns: Unknowns = "real"
    matrix: bool | None = None
    check: bool = True

    def as_matrix(self, m: int, n: int) -> bool:
        """Whether an ``(m, n)`` operator that is code becomes a matrix."""
        return m * n <= SMALL if self.matrix is None else self.matrix


class Converter(NamedTuple):
    """A kind of thing that ``as_operator`` takes: its name in words, how it is recognised, and how it is built."""

    name: str
    takes: Callable[[Any], bool]
    build: Callable[[Any, Request], LinearOperator]


CONVERTERS: list[Converter] = []


def add_converter(
    name: str, takes: Callable[[Any], bool], build: Callable[[Any, Request], LinearOperator]
) -> Converter:
    """Teach ``as_operator`` another kind of object; the one added last is asked first.

    Args:
        name: what it is: ``"a CuPy matrix"``; a second one of a name takes the place of the first.
        takes: whether an object is of that kind; it should not import anything.
        build: the operator of an object, given the options of ``as_operator``.

    Example:
        >>> from unrollbit.operators import Dense, add_converter, as_operator
        >>> class Camera:
        ...     transfer_matrix = [[1.0, 0.0, 2.0]]
        >>> _ = add_converter(
        ...     "a camera", lambda A: hasattr(A, "transfer_matrix"), lambda A, request: Dense.of(A.transfer_matrix)
        ... )
        >>> as_operator(Camera()).shape
        (1, 3)
    """
    converter = Converter(name, takes, build)
    CONVERTERS[:] = [converter, *(other for other in CONVERTERS if other.name != name)]
    return converter


def comes_from(value: Any, *modules: str) -> bool:
    """Whether a class of an object is defined in one of these modules or below: nothing is imported to find out."""
    names = [kind.__module__ for kind in type(value).__mro__]
    return any(name == module or name.startswith(f"{module}.") for name in names for module in modules)
