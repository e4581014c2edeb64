"""What a file says about how its network came about; the network is the same without it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Self

from unrollbit.operators import LinearOperator

# a word that is an absolute path, of this or another machine: the part before its last name
_FOLDER = re.compile(r"""(?<![^\s'"=:(])(?:~?/|[A-Za-z]:[\\/]|\\\\)(?:[^\s'"\\/]+[\\/])*(?=[^\s'"\\/])""")


_ROUNDING = 1e-6  # relative, of a fingerprint


@dataclass(frozen=True)
class Run:
    """The recipe of the problem, the fingerprint of the physics that measures where the network holds another form of
    it, facts about the training, and what is certified of the network on fresh signals (``unrollbit calibrate``).
    """

    problem: dict[str, Any] | None = None
    fingerprint: list[float] | None = None
    training: dict[str, Any] | None = None
    certificates: dict[str, Any] | None = None

    @classmethod
    def of(cls, problem: Any, training: dict[str, Any] | None, physics: LinearOperator) -> Self:
        """From a problem, the physics of a network, and JSON-able facts.

        Absolute paths become names: a file says nothing of the machine that wrote it. Raises ``TypeError`` for facts
        that are not JSON-able.
        """
        facts = facts_of(training)
        if problem is None:
            return cls(training=facts)
        measured, held = fingerprint(problem.operator), fingerprint(physics)
        same = max(abs(a - b) for a, b in zip(measured, held, strict=True)) <= _ROUNDING * max(map(abs, held))
        return cls(without_folders(problem.recipe()), None if same else measured, facts)

    def to_json(self) -> dict[str, Any]:
        """The second part of a file."""
        return asdict(self)


def facts_of(training: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Facts about a training as a file holds them. Raises ``TypeError`` for such as are not JSON-able."""
    return None if training is None else without_folders(json.loads(json.dumps(training)))


def fingerprint(physics: LinearOperator) -> list[float]:
    """That of physics as files write it: nine digits, all that float32 products have."""
    return [float(f"{number:.9g}") for number in physics.fingerprint()]


def without_folders(value: Any) -> Any:
    """A JSON value whose absolute paths, whole strings or words of them, are cut down to their last names.

    Example:
        >>> without_folders({"command": "train /home/me/a.toml --seed 0", "rate": "1 / s"})
        {'command': 'train a.toml --seed 0', 'rate': '1 / s'}
    """
    if isinstance(value, dict):
        return {name: without_folders(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [without_folders(entry) for entry in value]
    if not isinstance(value, str):
        return value
    for whole in (PurePosixPath(value), PureWindowsPath(value)):
        if whole.is_absolute() and " -" not in value:  # with spaces in its folders, perhaps
            return whole.name
    return _FOLDER.sub("", value)
