"""Matrices of 32-bit floats: what every other format is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Array

from unrollbit.formats.cores import masked
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import Entries, Stored
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.structures import Structure


@dataclass(frozen=True)
class FullPrecision(Representation):
    """Float32 matrices with the zeros of their structure: 32 bits a weight.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = FullPrecision().from_matrix(jnp.eye(2), copies=3)
        >>> weights.dense().shape, weights.bits()
        ((3, 2, 2), 384)
    """

    needs_mask: ClassVar[bool] = False  # what it forbids is zero
    signed: ClassVar[bool] = False
    holds_zero: ClassVar[bool] = True

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return ("full precision (32-bit floats)",)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"values": Entries((copies,), structure)}

    def start(self, cores: Array, structure: Structure) -> Values:
        return {"values": cores}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        return masked(parameters["values"], structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        return masked(arrays["values"], structure)
