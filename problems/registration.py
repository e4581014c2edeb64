"""Problems as pytrees: some fields hold arrays, all others are static."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import jax

T = TypeVar("T")


def register_problem(*data_fields: str) -> Callable[[type[T]], type[T]]:
    """Class decorator: register a dataclass as a pytree whose ``data_fields`` are children."""

    def register(cls: type[T]) -> type[T]:
        names = [field.name for field in dataclasses.fields(cls)]  # pyright: ignore[reportArgumentType]
        static = [name for name in names if name not in data_fields]

        def flatten(problem: T) -> tuple[list[Any], tuple[Any, ...]]:
            return [getattr(problem, name) for name in data_fields], tuple(getattr(problem, name) for name in static)

        def unflatten(meta: tuple[Any, ...], data: Iterable[Any]) -> T:
            problem = object.__new__(cls)  # the constructor would draw the physics again
            for name, value in [*zip(static, meta, strict=True), *zip(data_fields, data, strict=True)]:
                object.__setattr__(problem, name, value)
            return problem

        jax.tree_util.register_pytree_node(cls, flatten, unflatten)
        return cls

    return register
