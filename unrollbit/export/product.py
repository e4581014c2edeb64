"""A product with a matrix while it is written in C: lines, work and operations of one function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unrollbit.export.tables import Tables, literal
from unrollbit.packed import runtime
from unrollbit.packed.runtime import Operator


@dataclass(frozen=True)
class Call:
    """``target += factor A source``, or with the transpose of A: C texts of two pointers and of a number."""

    source: str
    target: str
    factor: str
    adjoint: bool

    def times(self, factor: str) -> Call:
        """With the factor multiplied."""
        product = factor if self.factor == literal(1) else f"{self.factor} * {factor}"
        return dataclasses.replace(self, factor=self.factor if factor == literal(1) else product)


class Product:
    """The body of a C function that multiplies by a matrix; ``lines`` of it, ``floats`` of work, ``operations``."""

    def __init__(self, tables: Tables, kinds: Mapping[str, Callable[..., None]], fixed_point: bool = False) -> None:
        """``kinds``: what writes the product of each kind of ``runtime.Made``."""
        self.tables, self.fixed_point, self._kinds = tables, fixed_point, kinds
        self.lines: list[str] = []
        self.floats = 0
        self.operations = 0
        self._held = 0

    def emit(self, matrices: Sequence[Operator], call: Call) -> None:
        """Add the product with matrix ``layer`` modulo their number. Raises ``ValueError`` for a kind without C."""
        first = matrices[0].made
        if first is None:
            raise ValueError(
                "export to C: a matrix whose products are known only as a program (LittleBit under an irregular mask, "
                "or a kind without C); choose another format for this map, or export with --stablehlo or --onnx"
            )
        parts = {name: [matrix.made.parts[name] for matrix in matrices] for name in first.parts}  # pyright: ignore
        runtime.kind_of({"kind": first.kind}, self._kinds, "operator of the export to C")(self, call, **parts)

    def call(self, function: str, *arguments: Any, operations: int = 0) -> None:
        """A call of a C function."""
        self.lines.append(f"{function}({', '.join(map(str, arguments))});")
        self.operations += operations

    def work(self, size: int, *, cleared: bool = True) -> str:
        """A pointer to so many floats of work, zeros; ``free`` gives them back."""
        place = f"&work[{self._held}]"
        self._held += size
        self.floats = max(self.floats, self._held)
        if cleared:
            self.call("zero", size, place)
        return place

    def free(self, size: int) -> None:
        """Give back what was taken last."""
        self._held -= size
