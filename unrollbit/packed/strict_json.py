"""JSON of files that anyone may have written: nothing in it means two things, or more than it should."""

from __future__ import annotations

import json
import math
from typing import Any

_DEEPEST = 32  # levels; recipes of physics and algorithms nest a few
_LARGEST = 2**63


def strict_json(text: str) -> Any:
    """The value of a JSON text.

    Raises ``ValueError`` for what is no JSON, and for what Python's parser lets pass: a key twice in one object, NaN
    and infinite numbers, integers of more than 64 bits, more than 32 levels of lists and objects.

    Example:
        >>> strict_json('{"depth": 4}')
        {'depth': 4}
        >>> strict_json('{"depth": 4, "depth": 1000000}')
        Traceback (most recent call last):
        ...
        ValueError: the key 'depth' occurs twice
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer, parse_float=_number
        )
    except RecursionError as error:
        raise ValueError("lists and objects nest too deep") from error
    _check_depth(value)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(value := int(digits)) >= _LARGEST:
        raise ValueError(f"an integer of {len(digits)} digits; expected at most 64 bits")
    return value


def _number(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError(f"the number {digits[:20]} is infinite")
    return value


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST + 1):
        inner = [entry for entry in level if isinstance(entry, dict | list)]
        level = [part for entry in inner for part in (entry.values() if isinstance(entry, dict) else entry)]
        if not level:
            return
    raise ValueError(f"lists and objects nest more than {_DEEPEST} levels deep")
