"""What algorithms are told when they are written in C, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from unrollbit.export.tables import Tables
from unrollbit.packed.runtime import Operator, Spec


class Setting(NamedTuple):
    """What an algorithm knows: its options, the physics, matrices and scalars of layers, the tables of the program."""

    options: Spec
    A: Operator
    matrices: Mapping[str, Sequence[Operator]]
    activated: set[str]  # maps with activations around them
    scalars: Mapping[str, np.ndarray]
    tables: Tables

    @property
    def m(self) -> int:
        """Measurements."""
        return self.A.shape[0]

    @property
    def n(self) -> int:
        """Unknowns."""
        return self.A.shape[1]

    @property
    def blocks(self) -> int:
        """Diagonal blocks of the physics."""
        return self.A.blocks

    def scalar(self, name: str) -> str:
        """C text of a scalar of the layer."""
        return f"{self.tables.floats(name, [self.scalars[name]])}[layer]"

    def row(self, name: str) -> str:
        """C text of a pointer to a table of the layer."""
        values = self.scalars[name]
        return f"&{self.tables.floats(name, [values])}[layer * {values[0].size}]"


class Fragment(NamedTuple):
    """Arrays of the state by name with their sizes, lines before the layers, those of a layer, and those after them."""

    state: dict[str, int]
    before: list[str]
    layer: list[str]
    after: list[str] = []  # noqa: RUF012
    slope: bool = False  # whether the slopes of the shrinkage are needed
    scratch: int = 0  # floats of work beside those of products
    operations: int = 0  # of a layer, beside those of products


def loop(n: int, *lines: str) -> list[str]:
    """C lines for every j below n."""
    return [f"for (int32_t j = 0; j < {n}; j++) {{", *(f"    {line}" for line in lines), "}"]
