"""Frozen dataclasses that may hold arrays: values with equality, a hash and one line of text, and pytrees."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.core import Tracer

T = TypeVar("T")
_LISTED = 4  # entries of a tuple that are shown


class Value:
    """Base of frozen dataclasses that are compared by their content, arrays included.

    ``==`` gives a bool, equal objects have equal hashes, and ``repr`` is one line that shows the shapes of arrays, not
    their entries. The dataclass decorator would write its own three methods: it finds these in every subclass.

    Example:
        >>> import jax.numpy as jnp
        >>> @dataclasses.dataclass(frozen=True)
        ... class Filter(Value):
        ...     taps: jax.Array
        ...     stride: int = 1
        >>> Filter(jnp.ones(3)) == Filter(jnp.ones(3)), Filter(jnp.ones(3)) == Filter(jnp.zeros(3))
        (True, False)
        >>> Filter(jnp.ones(3))
        Filter(taps=float32[3], stride=1)
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in ("__eq__", "__hash__", "__repr__"):
            if name not in cls.__dict__:
                setattr(cls, name, getattr(cls, name))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        return all(_same(getattr(self, name), getattr(other, name)) for name in _names(self))

    def __hash__(self) -> int:
        return hash((type(self), *(_hashable(getattr(self, name)) for name in _names(self))))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={one_line(getattr(self, name))}" for name in _shown(self))
        return f"{type(self).__name__}({shown})"


class Keyed(abc.ABC):
    """Base of objects that are compared by one thing: equal to others of their class whose ``key`` is the same."""

    @property
    @abc.abstractmethod
    def key(self) -> Hashable:
        """What tells it from others of its class."""

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.key == other.key)  # pyright: ignore[reportAttributeAccessIssue]

    def __hash__(self) -> int:
        return hash((type(self), self.key))


def pytree(cls: type[T]) -> type[T]:
    """Class decorator: register a frozen dataclass as a pytree, like ``jax.tree_util.register_dataclass``.

    Fields with ``metadata={"static": True}`` are static, all others children. Static fields that are also
    ``"incidental"`` say where the children come from, not what is computed with them: a program compiled for one value
    serves all. Unflattening does not call the constructor: it checks what people and files give, and transformations
    put tracers and placeholders in its place.
    """
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    children = [field.name for field in fields if not field.metadata.get("static")]
    return register(cls, children)


def register(cls: type[T], children: Iterable[str]) -> type[T]:
    """``pytree`` for a dataclass whose children are named here."""
    data = tuple(children)
    others = [field for field in dataclasses.fields(cls) if field.name not in data]  # pyright: ignore[reportArgumentType]
    incidental = tuple(field.name for field in others if field.metadata.get("incidental"))
    static = tuple(field.name for field in others if field.name not in incidental)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in data)

    def flatten(value: T) -> tuple[list[Any], tuple[Any, ...]]:
        held = tuple(getattr(value, name) for name in static)
        return [getattr(value, name) for name in data], (*held, _Incidental(*(getattr(value, n) for n in incidental)))

    def flatten_with_keys(value: T) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        parts, meta = flatten(value)
        return list(zip(keys, parts, strict=True)), meta

    def unflatten(meta: tuple[Any, ...], parts: Iterable[Any]) -> T:
        value = object.__new__(cls)
        *own, beside = meta
        for name, held in zip((*static, *incidental, *data), (*own, *beside.values, *parts), strict=True):
            object.__setattr__(value, name, held)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    return cls


class _Incidental:
    """Values in a pytree's definition that do not tell it from another one."""

    def __init__(self, *values: Any) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


def is_array(value: Any) -> bool:
    """Whether a field holds an array, of NumPy or JAX (traced ones included)."""
    return isinstance(value, jax.Array | np.ndarray)


def is_known(value: Any) -> bool:
    """Whether ``value`` has entries now: constructors cannot look at those of a traced array."""
    return not isinstance(value, Tracer)


def one_line(value: Any) -> str:
    """``repr`` without the entries of arrays, and the beginning of long tuples."""
    if is_array(value):
        return f"{value.dtype.name}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, tuple) and len(value) > _LISTED:
        return f"({', '.join(map(one_line, value[:_LISTED]))}, ... {len(value)} in all)"
    if isinstance(value, tuple):
        return f"({', '.join(map(one_line, value))}{',' if len(value) == 1 else ''})"
    return repr(value)


def _names(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value) if field.compare]


def _shown(value: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(value) if field.repr]


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if is_array(a) and is_array(b):
        return a.shape == b.shape and a.dtype == b.dtype and is_known(a) and is_known(b) and bool(np.array_equal(a, b))
    if is_array(a) or is_array(b):
        return False
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _hashable(value: Any) -> Any:
    """What a hash is made of: of arrays their shapes, since equal arrays have equal ones."""
    if is_array(value):
        return value.shape, value.dtype.name
    return tuple(map(_hashable, value)) if isinstance(value, tuple) else value
