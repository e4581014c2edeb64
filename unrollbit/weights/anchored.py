"""Weights that correct their start: ``W = A + V``, with A at hand anyway and V in any format."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator, Scaled
from unrollbit.operators.structured import Structured
from unrollbit.variables import Physics
from unrollbit.weights.base import Arrays, Weights, WeightsFactory
from unrollbit.weights.wrappers import Wrapper


class Anchored(Wrapper):
    """``W = W_0 + V``: the map's start value W_0, which the physics determines, plus weights V that correct it.

    W_0 stores nothing: loading computes it again, as ``Fixed`` does. For most maps it is the physics A itself, which is
    held in memory anyway and costs no bit; another matrix (the regularised inverse of ADMM) is held beside A and
    counted in ``resident_bits``. V in one sign plane around A brings W about as close to ALISTA's matrix as two planes
    without A do. A product with W costs one with W_0 and one with V.
    """

    def __init__(self, inner: Weights, anchor: LinearOperator, core: Array | None, *, shared: bool) -> None:
        """``core``: the anchor as the core of V's structure, for training; None: products with W_0 and V apart.

        ``shared``: the anchor is the very object that the network holds as its physics.
        """
        self.inner = inner
        self.structure, self.copies = inner.structure, inner.copies
        self.anchor = Physics(anchor)
        self.core = None if core is None else Physics(core)
        self.shared = shared

    @classmethod
    def around(cls, inner: Weights, anchor: LinearOperator, *, shared: bool = True, frozen: bool = False) -> Anchored:
        """Add the ``anchor``, by default the physics; ``frozen`` weights never form the sum."""
        return cls(inner, anchor, None if frozen else anchor.core(inner.structure), shared=shared)

    @classmethod
    def for_map(
        cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, *, inner: WeightsFactory, **options: Any
    ) -> Anchored:
        anchor = linear_map.initial
        correction = replace(linear_map, initial=Scaled(anchor, 0.0))  # formats start at their map's value: W = W_0
        return cls.around(inner(correction, physics, copies, **options), anchor, shared=anchor is physics)

    def prepare(self) -> Any:
        return self.inner.prepare()

    def matrix(self, parameters: Any) -> LinearOperator:
        matrix = self.inner.matrix(parameters)
        anchor = self.anchor.get_value().bare if self.core is None else Structured(self.core[...], self.structure)
        return anchor + matrix

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        inner = Weights.unpack(cls._inner_of(spec, arrays), linear_map, physics, frozen=frozen)
        anchor = linear_map.initial
        return cls.around(inner, anchor, shared=anchor is physics, frozen=frozen)

    def resident_bits(self) -> int:
        """Those of V, and of a start value that is held beside the physics."""
        return super().resident_bits() + (0 if self.shared else self.anchor.get_value().resident_bits())

    def rebuild(self, matrices: Array) -> Weights:
        return self._with(self.inner.rebuild(matrices - self.anchor.get_value().dense()))

    def unquantised(self) -> Weights:
        return self._with(self.inner.unquantised())

    def quantised_from(self, trained: Weights) -> Weights:
        assert isinstance(trained, Anchored)
        return self._with(self.inner.quantised_from(trained.inner))

    def _with(self, inner: Weights) -> Anchored:
        """The same start value under other weights of the same structure."""
        core = None if self.core is None else self.core[...]
        return Anchored(inner, self.anchor.get_value(), core, shared=self.shared)


def anchored(inner: WeightsFactory) -> WeightsFactory:
    """Factory of ``Anchored`` weights around another factory."""
    return partial(Anchored.for_map, inner=inner)
