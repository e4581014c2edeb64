"""``--set NAME=VALUE``: fields of a problem to replace."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Fields to replace in a problem, from ``NAME=VALUE`` with a TOML value each; ``none`` (None) removes the field.

    Raises ``ValueError`` for what is no ``NAME=VALUE``, a value that is no TOML and a name that is given twice.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, given, value = (part.strip() for part in text.partition("="))
        if not (name and given and value):
            raise ValueError(f"--set: expected NAME=VALUE, got {text!r}")
        if name in changes:
            raise ValueError(f"--set: {name} is given twice")
        changes[name] = None if value == "none" else _toml_value(name, value)
    return changes


def _toml_value(name: str, text: str) -> Any:
    try:
        if "\n" in text:  # more than one entry
            raise ValueError("expected one line")
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError as error:
        raise ValueError(
            f"--set {name}: {text!r} is no TOML value ({error}); expected a number, true, false, none or a string in "
            f"quotes, which the shell must not remove: --set {name}=\"'text'\""
        ) from error


def changes_text(changes: Mapping[str, Any]) -> str:
    """``sparsity = 0.15, snr_db = none``: changed fields for people."""
    return ", ".join(f"{name} = {'none' if value is None else value}" for name, value in changes.items())
