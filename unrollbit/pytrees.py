"""Specified objects as pytrees: their numbers are leaves, everything else is static.

A compiled program takes an algorithm as an argument: it is compiled once for all values of its numbers, and JAX
differentiates with respect to them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeVar

import jax
from jax.core import Tracer

T = TypeVar("T")
_REGISTERED: set[type[Any]] = set()


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where a leaf was."""

    number: int


def register_numbers(cls: type[T]) -> type[T]:
    """Make a class, which becomes a frozen dataclass, a pytree.

    Its leaves are the fields annotated as ``float``, the floats in tuples and unions annotated with ``float``, and the
    leaves of fields that are such objects themselves. Unflattening does not call the constructor: it checks what
    people give, and transformations put tracers in its place.
    """

    def flatten(value: T) -> tuple[list[Any], tuple[Any, ...]]:
        leaves: list[Any] = []
        fields = dataclasses.fields(value)  # pyright: ignore[reportArgumentType]
        static = [(field.name, _taken(getattr(value, field.name), _hint(field), leaves)) for field in fields]
        return leaves, tuple(static)

    def unflatten(static: tuple[Any, ...], leaves: Iterable[Any]) -> T:
        value, held = object.__new__(cls), list(leaves)
        for name, part in static:
            object.__setattr__(value, name, _put(part, held))
        return value

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)
    _REGISTERED.add(cls)
    return cls


def known(*values: Any) -> bool:
    """Whether all values can be looked at now: a traced number has none yet."""
    return not any(isinstance(value, Tracer) for value in values)


def _hint(field: dataclasses.Field[Any]) -> str:
    return field.type.__name__ if isinstance(field.type, type) else str(field.type)


def _taken(value: Any, hint: str, leaves: list[Any]) -> Any:
    """``value`` with places where its leaves were, which go to ``leaves``."""
    if type(value) in _REGISTERED or hint == "float":
        leaves.append(value)
        return _Place(len(leaves) - 1)
    if "float" not in hint or isinstance(value, str | int | type(None)):
        return value
    if isinstance(value, tuple):
        return tuple(_taken(entry, hint, leaves) for entry in value)
    return _taken(value, "float", leaves)


def _put(part: Any, leaves: list[Any]) -> Any:
    if isinstance(part, _Place):
        return leaves[part.number]
    return tuple(_put(entry, leaves) for entry in part) if isinstance(part, tuple) else part
