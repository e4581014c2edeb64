"""Physics by the name that the user's own code has for it."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

from unrollbit.extensions import import_extension
from unrollbit.operators.base import LinearOperator
from unrollbit.operators.physics import physics_of

_CODE = re.compile(r"(?P<module>[\w./\\-]+):(?P<name>[A-Za-z_]\w*)")
_LISTED = 8  # names in a message
Place = str | os.PathLike[str]


def names_code(value: Any) -> bool:
    """Whether a text has the form ``module:name``.

    Example:
        >>> names_code("optics:blur"), names_code("optics.py:blur"), names_code("blur.npy")
        (True, True, False)
    """
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def named_physics(text: str, folder: Place | None = None, name: str = "physics") -> LinearOperator:
    """The operator that ``module:name`` (or ``file.py:name``) names: an object of the user's own code that
    ``as_operator`` takes, or a function without arguments that makes one.

    The module is imported, from ``folder`` too (by default the working one): never for text of a file that anyone may
    have written. ``name`` is that of the argument, for messages. Raises ``ValueError`` for what cannot be imported and
    for other functions, and what ``as_operator`` raises.
    """
    found = _CODE.fullmatch(text)
    if found is None:
        raise ValueError(f"{name}: expected module:name, such as 'optics:blur', got {text!r}")
    try:
        module = import_extension(found["module"], Path(folder or ".").resolve())
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    if not hasattr(module, found["name"]):
        known = [key for key in vars(module) if not key.startswith("_")][-_LISTED:]
        raise ValueError(f"{name}: {text!r} is not there; the module has {', '.join(known) or 'nothing'}")
    value = getattr(module, found["name"])
    if inspect.isfunction(value):
        parameters = inspect.signature(value).parameters.values()
        if any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
            raise ValueError(
                f"{name}: {text!r} is a function with arguments; expected an operator, or a function without arguments "
                "that makes one: return as_operator(f, shape=(height, width))"
            )
        value = value()
    return physics_of(value, name)
