"""Problems as pytrees: some fields hold arrays, all others are static."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from unrollbit.values import register

T = TypeVar("T")


def register_problem(*data_fields: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: register a dataclass as a pytree whose ``data_fields`` are children."""
    return lambda cls: register(cls, data_fields)
