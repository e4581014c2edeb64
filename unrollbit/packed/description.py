"""The description in a file: its arrays, and the checks of the physics that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from unrollbit.operators import LinearOperator

MOST_OPERATORS = 16  # in the physics of a file, masks included
FINGERPRINT_TOLERANCE = 1e-3  # relative; float32 products on other machines differ by 1e-6


def check_parts(physics: Any) -> None:
    """Raise ``ValueError`` for physics of too many parts: each may be as large as a matrix may be."""
    if (count := _operators(physics)) > MOST_OPERATORS:
        raise ValueError(f"the physics has {count} parts; expected at most {MOST_OPERATORS}")


def _operators(spec: Any) -> int:
    """Operators in a spec, masks included."""
    return 1 + sum(map(_operators, spec.values())) if isinstance(spec, dict) else 0


def extract_arrays(value: Any, name: str) -> tuple[Any, dict[str, np.ndarray]]:
    """A spec with its arrays replaced by references ``{"array": name}``, and those arrays."""
    if isinstance(value, np.ndarray | jax.Array):
        return {"array": name}, {name: np.ascontiguousarray(value)}
    if isinstance(value, dict):
        parts = {key: extract_arrays(entry, f"{name}/{key}") for key, entry in value.items()}
        arrays: dict[str, np.ndarray] = {}
        for _, found in parts.values():
            arrays |= found
        return {key: part for key, (part, _) in parts.items()}, arrays
    return value, {}


def insert_arrays(value: Any, arrays: Mapping[str, np.ndarray], used: set[str]) -> Any:
    """Inverse of ``extract_arrays``; adds the names of the arrays to ``used``."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"array"}:
        name = value["array"]
        if not isinstance(name, str) or name not in arrays:
            raise ValueError(f"array {name!r} of the physics is missing")
        used.add(name)
        return arrays[name]
    return {key: insert_arrays(entry, arrays, used) for key, entry in value.items()}


def check_fingerprint(operator: LinearOperator, expected: list[float]) -> None:
    """Raise ``ValueError`` unless the operator is the one whose fingerprint is ``expected``."""
    found, wanted = np.asarray(operator.fingerprint()), fingerprint_of(expected)
    if found.shape != wanted.shape:
        raise ValueError("the fingerprint of the physics is damaged")
    if not np.abs(found - wanted).max() <= FINGERPRINT_TOLERANCE * np.abs(wanted).max():
        raise ValueError("the physics rebuilt from its recipe differs from that of training (fingerprints disagree)")


def fingerprint_of(values: Any) -> np.ndarray:
    """The fingerprint in a file. Raises ``ValueError`` unless it is a list of finite numbers."""
    if not isinstance(values, list) or not values or any(type(value) not in (int, float) for value in values):
        raise ValueError(f"expected a list of numbers as the fingerprint of the physics, got {values!r:.60}")
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError("the fingerprint of the physics is damaged")
    return numbers
