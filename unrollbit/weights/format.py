"""A quantised format: everything about its weights but their values, whether they train or run from a file."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from jaxtyping import Array

from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import mask_rows_bits
from unrollbit.structures import Structure
from unrollbit.weights.base import check_names
from unrollbit.weights.stored import Stored


@dataclass(frozen=True)
class Format(abc.ABC):
    """``copies`` matrices of one structure in a quantised format: the arrays that a file holds, and the operator that
    runs on them.

    A subclass is a frozen dataclass; its further fields are the options of the format that a file must know. They
    are checked in ``__post_init__``, which raises ``ValueError``.
    """

    name: ClassVar[str]  # of the format, in files
    needs_mask: ClassVar[bool] = True  # whether an irregular mask is held beside the arrays
    structure: Structure
    copies: int

    def __post_init__(self) -> None:
        if type(self.copies) is not int or self.copies < 1:
            raise ValueError(f"{self.name}: wrong copies {self.copies!r}; expected an integer >= 1")

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """The format in words, for people."""

    @abc.abstractmethod
    def stored(self) -> dict[str, Stored]:
        """The arrays of a file by name."""

    @abc.abstractmethod
    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        """The operator of one copy that runs on the held arrays, without forming the matrix in floats.

        ``exists``: packed rows of an irregular mask.
        """

    def stacked(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Held arrays with a leading axis of copies (they have one already, unless copies share something)."""
        return dict(arrays)

    def spec(self) -> dict[str, Any]:
        """JSON-able description, ``{"kind": name, ...}``."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"kind": self.name, **options, "structure": self.structure.to_spec()}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], structure: Structure) -> Self:
        """Inverse of ``spec``, of a file that may be damaged. Raises ``KeyError`` for a missing option."""
        names = [field.name for field in dataclasses.fields(cls) if field.name != "structure"]
        check_names(cls.name, spec, ("kind", "structure", "surrogate", *names), "field")
        return cls(structure=structure, **{name: spec[name] for name in names})

    @property
    def stored_weights(self) -> int:
        """Stored matrix entries."""
        return sum(array.weights for array in self.stored().values())

    @property
    def weight_bits(self) -> int:
        """Their bits by formula."""
        return sum(array.weight_bits for array in self.stored().values())

    @property
    def scale_bits(self) -> int:
        """Bits of the scales at their stored width."""
        return sum(array.scale_bits for array in self.stored().values())

    @property
    def resident_bits(self) -> int:
        """Bits in memory while a loaded network runs: packed rows, scales, and the rows of an irregular mask."""
        mask = mask_rows_bits(self.structure) if self.needs_mask else 0
        return sum(array.resident_bits for array in self.stored().values()) + mask

    def checked(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The arrays of a file, after checking them all. Raises ``ValueError`` for a missing or wrong one."""
        expected = self.stored()
        check_names(self.name, arrays, expected, "array")
        for name, stored in expected.items():
            if name not in arrays:
                raise ValueError(f"array {name!r} is missing")
            array = arrays[name]
            if array.shape != stored.shape or array.dtype != stored.dtype:
                raise ValueError(
                    f"array {name!r}: expected shape {stored.shape}, dtype {stored.dtype}; "
                    f"got {array.shape}, {array.dtype}"
                )
            stored.check(name, array)
        return {name: arrays[name] for name in expected}
