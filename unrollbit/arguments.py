"""Arguments that people get wrong: names that are nearly right, classes or words where an object is expected."""

from __future__ import annotations

import difflib
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")
_SHOWN = 60  # characters of a value in a message


def shown(value: Any) -> str:
    """What came, in a few words: a class as one, an array by its shape, others by the beginning of their ``repr``.

    Example:
        >>> import numpy as np
        >>> shown(dict), shown(np.zeros((2, 3))), shown(3.5)
        ('the class dict', 'an array of shape (2, 3)', '3.5')
    """
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of shape {tuple(value.shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN + 1] + "..."


def instance(name: str, value: Any, kind: type[T], example: str) -> T:
    """``value``, if it is one of ``kind``; ``example`` is code that makes one.

    Raises ``TypeError`` that says what was expected, what came, and what to write instead.

    Example:
        >>> class Step: ...
        >>> class Momentum(Step): ...
        >>> instance("step", Momentum, Step, "Momentum()")
        Traceback (most recent call last):
        ...
        TypeError: step: expected a Step, such as Momentum(), got the class Momentum; write Momentum()
    """
    if isinstance(value, kind):
        return value
    a = "an" if kind.__name__[0] in "AEIOU" else "a"
    advice = ""
    if isinstance(value, type) and issubclass(value, kind):
        advice = f"; write {value.__name__}()"
    elif isinstance(value, str) and value in getattr(kind, "kinds", ()):
        advice = f"; write {value}()"
    for part in getattr(value, "_fields", ()):  # of a named tuple, such as a recipe
        if isinstance(getattr(value, part), kind):
            advice = f"; its .{part} is one"
    raise TypeError(f"{name}: expected {a} {kind.__name__}, such as {example}, got {shown(value)}{advice}")


def integer(name: str, value: Any, low: int, high: float = math.inf) -> int:
    """``value`` as an int in ``[low, high]``; raises ``ValueError`` for anything else.

    Example:
        >>> integer("depth", 0.5, 1)
        Traceback (most recent call last):
        ...
        ValueError: depth: expected a positive integer, got 0.5
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
        positive = "a positive integer" if low == 1 else f"an integer >= {low}"
        wanted = positive if high == math.inf else f"an integer from {low} to {high}"
        raise ValueError(f"{name}: expected {wanted}, got {shown(value)}")
    return int(value)


def number(name: str, value: Any, holds: Callable[[float], bool], wanted: str) -> float:
    """``value`` as a finite float for which ``holds`` is true, ``wanted`` in words; raises ``ValueError`` otherwise.

    Example:
        >>> number("ratio", 2, lambda r: 0 < r <= 1, "a fraction in (0, 1]")
        Traceback (most recent call last):
        ...
        ValueError: ratio: expected a fraction in (0, 1], got 2
    """
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or not holds(float(value)):
        raise ValueError(f"{name}: expected {wanted}, got {shown(value)}")
    return float(value)


def choice(name: str, value: Any, options: Iterable[str], advice: str = "") -> Any:
    """``value``, if it is one of ``options``; raises ``ValueError`` that lists them, and ``advice``.

    Example:
        >>> choice("matrix", "gausian", ["gaussian", "hadamard"])
        Traceback (most recent call last):
        ...
        ValueError: matrix: expected one of 'gaussian', 'hadamard', got 'gausian'
    """
    options = list(options)
    if not isinstance(value, str) or value not in options:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, options))}, got {shown(value)}{advice}")
    return value


def switch(name: str, value: Any) -> bool:
    """``value``, if it is a bool; raises ``ValueError`` otherwise."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}: expected True or False, got {shown(value)}")
    return bool(value)


def path(name: str, value: Any) -> str:
    """``value`` as the text of a path; raises ``TypeError`` for what is none."""
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"{name}: expected a path, got {shown(value)}")
    return os.fspath(value)


def check_type(name: str, value: Any, hint: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is what the annotation ``hint`` says.

    Looks at bool, int, float, str, None, ``Literal``, classes of the library with kinds (shrinkages, formats, ...) and
    unions of those; other annotations are for type checkers. Numbers may be those of NumPy, and arrays of JAX without
    axes, which transformations put in the place of floats.

    Example:
        >>> check_type("steps", "many", int | None)
        Traceback (most recent call last):
        ...
        ValueError: steps: expected an int or None, got 'many'
    """
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if any(_fits(value, member) for member in members):
        return
    wanted = " or ".join(map(_in_words, members))
    kinds = next((member.kinds for member in members if hasattr(member, "kinds")), {})
    near = value.__name__ if isinstance(value, type) else value
    advice = f"; write {near}()" if isinstance(near, str) and near in kinds else ""
    raise ValueError(f"{name}: expected {wanted}, got {shown(value)}{advice}")


def _fits(value: Any, hint: Any) -> bool:
    if hint in (None, type(None)):
        return value is None
    if hint in (bool, str):
        return isinstance(value, (bool, np.bool_) if hint is bool else str)
    if hint in (int, float):
        numbers = (int, np.integer) if hint is int else (int, float, np.integer, np.floating)
        traced = not isinstance(value, np.ndarray) and hasattr(value, "dtype") and getattr(value, "ndim", 1) == 0
        return traced or (isinstance(value, numbers) and not isinstance(value, bool))
    if typing.get_origin(hint) is typing.Literal:
        return isinstance(value, str | int) and value in typing.get_args(hint)
    return not hasattr(hint, "kinds") or isinstance(value, hint)


def _in_words(hint: Any) -> str:
    if hint in (None, type(None)):
        return "None"
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(hint)))
    name = getattr(hint, "__name__", str(hint))
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def check_names(what: str, given: Iterable[str], known: Collection[str], needed: Collection[str] = ()) -> None:
    """Raise ``ValueError`` for names that are not known, with the nearest that is, and for missing ones.

    Example:
        >>> check_names("problem SparseRecovery", ["sparsty"], ["m", "n", "sparsity"])
        Traceback (most recent call last):
        ...
        ValueError: problem SparseRecovery: unknown 'sparsty' (did you mean 'sparsity'?); it takes m, n, sparsity
    """
    given = list(given)
    takes = f"it takes {', '.join(known) or 'nothing'}"
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"{what}: unknown {name!r}{hint}; {takes}")
    missing = [name for name in needed if name not in given]
    if missing:
        raise ValueError(f"{what}: missing {', '.join(map(repr, missing))}; {takes}")


def _plain(function: Any) -> Any:
    """The function of a partial or a bound method."""
    return _plain(function.func) if isinstance(function, functools.partial) else function


def called(what: str, function: Callable[..., T], options: Mapping[str, Any], *given: Any, hidden: str = "") -> T:
    """``function(*given, **options)`` with options from a table, whose names are checked first.

    ``hidden``: names, separated by spaces, that a table cannot give. Raises ``ValueError`` for other names, and for
    values that the function refuses with a ``TypeError``.
    """
    parameters = list(inspect.signature(function).parameters.values())
    if isinstance(function, type):  # Flax hides the arguments of a class
        parameters = list(inspect.signature(function.__init__).parameters.values())[1:]
    parameters = [p for p in parameters[len(given) :] if p.name not in hidden.split()]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    check_names(what, options, [p.name for p in parameters], needed)
    hints = typing.get_type_hints(function.__init__ if isinstance(function, type) else _plain(function))
    try:
        for name, value in options.items():
            check_type(name, value, hints.get(name, Any))
        return function(*given, **options)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from error
