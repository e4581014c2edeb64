"""Objects that can be written as, and rebuilt from, small JSON-able recipes."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

Spec = dict[str, Any]

_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf}  # JSON has no infinities


class Specified:
    """Gives frozen dataclasses ``to_spec()`` and ``from_spec()``, by their fields.

    A direct subclass (``Shrinkage``, say) opens a family with its own registry ``kinds``; every class below it is a
    kind of that family, named by its class name. A spec is ``{"kind": name, field: value, ...}``. Fields may be
    ``bool``, ``int``, ``float``, ``str``, ``None``, ``Literal``, tuples of those (written as lists), other
    ``Specified`` objects (written as nested specs) and unions; the annotations of the fields say what is expected.
    Infinities are written as ``"inf"`` and ``"-inf"``.

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

    kinds: ClassVar[dict[str, type[Any]]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if Specified in cls.__bases__:
            cls.kinds = {}
            return
        other = cls.kinds.get(cls.__name__)
        if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(
                f"{cls.__module__}.{cls.__qualname__}: {other.__module__} already has a kind {cls.__name__!r}"
            )
        cls.kinds[cls.__name__] = cls

    def to_spec(self) -> Spec:
        """The recipe of this object: JSON values only. Raises ``TypeError`` for a field that has none."""
        return {"kind": type(self).__name__} | {
            field.name: _encode(getattr(self, field.name), f"{type(self).__name__}.{field.name}")
            for field in dataclasses.fields(_as_dataclass(type(self)))
            if field.init
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Self:
        """Rebuild an object of this family from ``to_spec()``; fields with a default may be left out.

        Raises ``ValueError`` for an unknown kind, unknown or missing fields, and values of the wrong type.
        """
        if not isinstance(spec, Mapping) or "kind" not in spec:
            raise ValueError(f"a {cls.__name__} spec is a table with the key 'kind', got {spec!r}")
        known = {
            name: kind for name, kind in cls.kinds.items() if issubclass(kind, cls) and not inspect.isabstract(kind)
        }
        kind = known.get(spec["kind"]) if isinstance(spec["kind"], str) else None
        if kind is None:
            raise ValueError(
                f"unknown kind of {cls.__name__} {spec['kind']!r}; expected one of: {', '.join(sorted(known))}"
            )
        fields = {field.name: field for field in dataclasses.fields(_as_dataclass(kind)) if field.init}
        given = {name: value for name, value in spec.items() if name != "kind"}
        if unknown := sorted(given.keys() - fields.keys()):
            allowed = ", ".join(fields) or "none"
            raise ValueError(f"{kind.__name__} has no field {', '.join(map(repr, unknown))}; its fields: {allowed}")
        needed = [name for name, field in fields.items() if _is_required(field) and name not in given]
        if needed:
            raise ValueError(f"a {kind.__name__} spec needs the field {', '.join(map(repr, needed))}")
        hints = typing.get_type_hints(kind)
        return kind(**{name: _decode(value, hints[name], f"{kind.__name__}.{name}") for name, value in given.items()})


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
        raise ValueError(f"{where}: expected one of {', '.join(map(repr, arguments))}, got {value!r}")
    if isinstance(hint, type) and issubclass(hint, Specified):
        return hint.from_spec(value)
    if hint is float and isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        return float(value)
    if hint in (bool, int, str, type(None)) and type(value) is hint:
        return value
    expected = "None" if hint is type(None) else getattr(hint, "__name__", hint)
    raise ValueError(f"{where}: expected {expected}, got {value!r}")


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
        raise ValueError(f"{where}: expected a list, got {value!r}")
    if len(entries) == 2 and entries[1] is Ellipsis:
        return tuple(_decode(entry, entries[0], f"{where}[{i}]") for i, entry in enumerate(value))
    if len(value) != len(entries):
        raise ValueError(f"{where}: expected a list of {len(entries)}, got {value!r}")
    pairs = zip(value, entries, strict=True)
    return tuple(_decode(entry, hint, f"{where}[{i}]") for i, (entry, hint) in enumerate(pairs))
