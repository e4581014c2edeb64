"""What is computed from an operator once and kept, for as long as an operator of this content lives."""

from __future__ import annotations

import weakref
from typing import Any


class Derived(dict[Any, Any]):
    """Values by key; held by all operators of equal content, and by nothing else."""


_KNOWN: weakref.WeakKeyDictionary[Any, weakref.ref[Derived]] = weakref.WeakKeyDictionary()


def derived_of(operator: Any) -> Derived:
    """What is kept of an operator: shared with operators that equal it (read from a file, say)."""
    held = operator.__dict__.get("_derived")
    if held is None:
        found = _KNOWN.get(operator)
        held = None if found is None else found()
        if held is None:
            held = Derived()
            _KNOWN[operator] = weakref.ref(held)
        object.__setattr__(operator, "_derived", held)
    return held
