"""Problems as pytrees: some fields hold arrays, all others are static."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax

T = TypeVar("T")


def register_problem(*data_fields: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: register a dataclass as a pytree whose ``data_fields`` are children."""

    def register(cls: type[T]) -> type[T]:
        names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
        static = [name for name in names if name not in data_fields]
        return jax.tree_util.register_dataclass(cls, data_fields=list(data_fields), meta_fields=static)

    return register
