"""Weights that correct the physics: ``W = A + V``, with A at hand anyway and V in any format."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator, Scaled, Sum
from unrollbit.operators.cores import core_of
from unrollbit.operators.structured import Structured
from unrollbit.variables import Physics
from unrollbit.weights.base import Arrays, Weights, WeightsFactory
from unrollbit.weights.wrappers import Wrapper


class Anchored(Wrapper):
    """``W = A + V``: what a network with ``W = A`` stores (nothing), plus weights V that correct it.

    A (m, n) is held in memory as the physics anyway, so its adjoint costs no bit, and V in one sign plane brings W
    about as close to ALISTA's matrix as two planes without A do. A product with W costs one with A and one with V.
    """

    def __init__(self, inner: Weights, anchor: LinearOperator, core: Array | None) -> None:
        """``core``: the anchor as the core of V's structure, for training; None: products with A and V apart."""
        self.inner = inner
        self.structure, self.copies = inner.structure, inner.copies
        self.anchor = Physics(anchor)
        self.core = None if core is None else Physics(core)

    @classmethod
    def around(cls, inner: Weights, anchor: LinearOperator, *, frozen: bool = False) -> Anchored:
        """Add the physics ``anchor``; ``frozen`` weights never form the sum."""
        return cls(inner, anchor, None if frozen else core_of(anchor, inner.structure))

    @classmethod
    def for_map(
        cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, *, inner: WeightsFactory, **options: Any
    ) -> Anchored:
        if linear_map.initial is not physics:
            raise ValueError("Anchored: only for maps that start at the physics itself, which is held in memory anyway")
        correction = replace(linear_map, initial=Scaled(physics, 0.0))  # formats start at their map's value: W = A
        return cls.around(inner(correction, physics, copies, **options), physics)

    def prepare(self) -> Any:
        return self.inner.prepare()

    def matrix(self, parameters: Any) -> LinearOperator:
        matrix = self.inner.matrix(parameters)
        if self.core is not None and isinstance(matrix, Structured):
            return Structured(self.core[...] + matrix.core, self.structure)
        return Sum(self.anchor.get_value(), matrix)

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        inner = Weights.unpack(cls._inner_of(spec, arrays), linear_map, physics, frozen=frozen)
        return cls.around(inner, linear_map.initial, frozen=frozen)

    def rebuild(self, matrices: Array) -> Weights:
        return self._with(self.inner.rebuild(matrices - self.anchor.get_value().dense()))

    def unquantised(self) -> Weights:
        return self._with(self.inner.unquantised())

    def quantised_from(self, trained: Weights) -> Weights:
        assert isinstance(trained, Anchored)
        return self._with(self.inner.quantised_from(trained.inner))

    def _with(self, inner: Weights) -> Anchored:
        """The same physics under other weights of the same structure."""
        return Anchored(inner, self.anchor.get_value(), None if self.core is None else self.core[...])


def anchored(inner: WeightsFactory) -> WeightsFactory:
    """Factory of ``Anchored`` weights around another factory."""
    return partial(Anchored.for_map, inner=inner)
