"""Objects that can be written as, and rebuilt from, small JSON-able recipes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import jax
import numpy as np
from jaxtyping import AbstractArray

from unrollbit.arguments import check_type

Spec = dict[str, Any]

_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf}  # JSON has no infinities


class _Kinds:
    """The kinds of a family, or of a class below it, by name: those of which there can be objects."""

    def __get__(self, _: Any, cls: type[Any]) -> dict[str, type[Any]]:
        found = cls.registered.items()
        return {name: kind for name, kind in found if issubclass(kind, cls) and not inspect.isabstract(kind)}


class Specified:
    """Gives frozen dataclasses ``to_spec()`` and ``from_spec()``, by their fields.

    A direct subclass (``Shrinkage``, say) opens a family with its own registry ``kinds``; every class below it is a
    kind of that family, named by its class name, unless it is abstract (by its methods, or by ``abstract=True`` where
    it is defined). A second class of a name is a ``TypeError``. A spec is ``{"kind": name, field: value, ...}``. Fields
    may be ``bool``, ``int``, ``float``, ``str``, ``None``, ``Literal``, tuples of those (written as lists), arrays
    (written as NumPy arrays), other ``Specified`` objects (written as nested specs) and unions; the annotations of the
    fields say what is expected, and constructors check the rest. Infinities are written as ``"inf"`` and ``"-inf"``.
    ``field(metadata={"spec": name})`` gives a field another name in specs. Kinds whose specs are not their fields
    override ``to_spec`` and ``_from_fields``.

    Example:
        >>> import dataclasses
        >>> class Shape(Specified): ...
        >>> @dataclasses.dataclass(frozen=True)
        ... class Circle(Shape):
        ...     radius: float = 1.0
        >>> Circle(2.0).to_spec()
        {'kind': 'Circle', 'radius': 2.0}
        >>> Shape.from_spec({"kind": "Circle", "radius": 3})
        Circle(radius=3.0)
    """

    registered: ClassVar[dict[str, type[Any]]]
    checks_types: ClassVar[bool] = True  # False: constructors of the family look at everything themselves
    kinds: ClassVar[Any] = _Kinds()

    def __init_subclass__(cls, *, abstract: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Specified in cls.__bases__:
            cls.registered = {}
            return
        if abstract:
            return
        other = cls.registered.get(cls.__name__)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: {other.__module__} already has a kind {cls.__name__!r}"
            )
        cls.registered[cls.__name__] = cls
        if cls.checks_types:
            _check_when_made(cls)

    def to_spec(self) -> Spec:
        """The recipe of this object: JSON values, and NumPy arrays where the object holds arrays.

        Raises ``TypeError`` for a field that has no recipe.
        """
        return {"kind": type(self).__name__} | {
            name: _encode(getattr(self, field.name), f"{type(self).__name__}.{field.name}")
            for name, field in _spec_fields(type(self)).items()
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Rebuild an object of this family from ``to_spec()``; fields with a default may be left out.

        Raises ``ValueError`` for an unknown kind, unknown or missing fields, and values of the wrong type.
        """
        if not isinstance(spec, Mapping) or "kind" not in spec:
            raise ValueError(f"a {cls.__name__} spec is a table with the key 'kind', got {spec!r:.200}")
        known = cls.kinds
        kind = known.get(spec["kind"]) if isinstance(spec["kind"], str) else None
        if kind is None:
            raise ValueError(
                f"unknown kind of {cls.__name__} {spec['kind']!r:.200}; expected one of: {', '.join(sorted(known))}, "
                "or one of your own, imported before (on the command line: --import MODULE)"
            )
        return kind._from_fields({name: value for name, value in spec.items() if name != "kind"})

    @classmethod
    def _from_fields(cls, given: dict[str, Any]) -> Self:
        """An object of this class from the fields of its spec."""
        fields = _spec_fields(cls)
        check_fields(cls, given, [name for name, field in fields.items() if _is_required(field)], fields)
        hints = typing.get_type_hints(cls)
        return cls(
            **{
                fields[name].name: _decode(value, hints[fields[name].name], f"{cls.__name__}.{name}")
                for name, value in given.items()
            }
        )


def _check_when_made(cls: type[Any]) -> None:
    """Constructors look at the types of the fields before they look at their values in ``__post_init__``."""
    then = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        if type(self) is cls:  # once, whatever the classes above do
            for name, hint in _hints(cls).items():
                check_type(name, getattr(self, name), hint)
        if then is not None:
            then(self)

    cls.__post_init__ = __post_init__


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """The annotations of the fields that a constructor takes."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(_as_dataclass(cls)) if field.init}


def check_fields(kind: type[Any], given: Mapping[str, Any], needed: Iterable[str], allowed: Iterable[str] = ()) -> None:
    """Raise ``ValueError`` unless a spec has the fields ``needed`` and no others than those and ``allowed``."""
    needed = list(needed)
    allowed = list(dict.fromkeys([*allowed, *needed]))
    if unknown := [name for name in given if name not in allowed]:
        names = ", ".join(map(repr, sorted(map(str, unknown))))
        raise ValueError(f"{kind.__name__} has no field {names}; its fields: {', '.join(allowed) or 'none'}")
    if missing := [name for name in needed if name not in given]:
        raise ValueError(f"a {kind.__name__} spec needs the field {', '.join(map(repr, missing))}")


def _spec_fields(kind: type[Any]) -> dict[str, dataclasses.Field[Any]]:
    fields = dataclasses.fields(_as_dataclass(kind))
    return {field.metadata.get("spec", field.name): field for field in fields if field.init}


def _as_dataclass(kind: type[Any]) -> Any:
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} must be a dataclass to have a spec")
    return kind


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _encode(value: Any, where: str) -> Any:
    if isinstance(value, Specified):
        return value.to_spec()
    if isinstance(value, tuple):
        return [_encode(entry, where) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # "nan" is written, but refused when read
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item(), where)
    if isinstance(value, jax.Array | np.ndarray):
        return np.asarray(value)
    raise TypeError(f"{where}: a {type(value).__name__} cannot be written as JSON")


def _decode(value: Any, hint: Any, where: str) -> Any:
    """``value`` as an object of the annotated type; raises ``ValueError`` where it is not one."""
    arguments = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return _decode_union(value, arguments, where)
    if origin is tuple:
        return _decode_tuple(value, arguments, where)
    if origin is Literal:
        if value in arguments:
            return value
        raise ValueError(f"{where}: expected one of {', '.join(map(repr, arguments))}, got {value!r:.200}")
    if isinstance(hint, type) and issubclass(hint, Specified):
        return hint.from_spec(value)
    if _is_array(hint):
        if isinstance(value, jax.Array | np.ndarray | list | tuple):
            return value  # the constructor looks at its shape, dtype and entries
        raise ValueError(f"{where}: expected an array, got {value!r:.200}")
    if hint is float and isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    if hint in (bool, int, str, type(None)) and type(value) is hint:
        return value
    expected = "None" if hint is type(None) else getattr(hint, "__name__", hint)
    raise ValueError(f"{where}: expected {expected}, got {value!r:.200}")


def _is_array(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, jax.Array | np.ndarray | AbstractArray)


def _decode_union(value: Any, members: tuple[Any, ...], where: str) -> Any:
    if value is None and type(None) in members:
        return None
    members = tuple(member for member in members if member is not type(None))
    errors = []
    for member in members:
        try:
            return _decode(value, member, where)
        except ValueError as error:
            errors.append(str(error))
    raise ValueError("; or ".join(errors))


def _decode_tuple(value: Any, entries: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where}: expected a list, got {value!r:.200}")
    if len(entries) == 2 and entries[1] is Ellipsis:
        return tuple(_decode(entry, entries[0], f"{where}[{i}]") for i, entry in enumerate(value))
    if len(value) != len(entries):
        raise ValueError(f"{where}: expected a list of {len(entries)}, got {value!r:.200}")
    pairs = zip(value, entries, strict=True)
    return tuple(_decode(entry, hint, f"{where}[{i}]") for i, (entry, hint) in enumerate(pairs))
