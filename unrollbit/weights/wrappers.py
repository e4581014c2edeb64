"""Weights made of weights: columns normalised by the physics, and signs that live in the signal's own domain."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import Composition, LinearOperator, Scaled
from unrollbit.operators.structured import Diagonal
from unrollbit.sizes import check_entries
from unrollbit.variables import Physics
from unrollbit.weights.base import Arrays, PackedWeights, Weights, WeightsFactory, check_names
from unrollbit.weights.fixed import Fixed


class Wrapper(Weights):
    """Weights around other weights, which hold everything that is stored."""

    inner: Weights

    @property
    def active_links(self) -> int:
        return self.inner.active_links

    @property
    def mask_bits(self) -> int:
        return self.inner.mask_bits

    def stored_weights(self) -> int:
        return self.inner.stored_weights()

    def weight_bits(self) -> int:
        return self.inner.weight_bits()

    def scale_bits(self) -> int:
        return self.inner.scale_bits()

    def resident_bits(self) -> int:
        return self.inner.resident_bits()

    @property
    def normalisable(self) -> bool:
        return self.inner.normalisable

    def round_scales(self) -> None:
        self.inner.round_scales()

    def pack(self) -> PackedWeights:
        inner = self.inner.pack()
        return PackedWeights({"kind": type(self).__name__, "inner": inner.spec}, inner.arrays)

    @classmethod
    def _inner_of(cls, spec: dict[str, Any], arrays: Arrays) -> PackedWeights:
        """What is wrapped, of a file."""
        check_names(cls.__name__, spec, ("kind", "inner"), "field")
        return PackedWeights(spec["inner"], arrays)


class Normalised(Wrapper):
    """``W D`` with ``D_j = 1 / (w_j^T a_j)``, so that ``diag((W D)^T A) = 1``: computable from W and A, stores nothing.

    The scale-free form of the constraint ``w_j^T a_j = 1`` of ALISTA (Liu et al. 2019). Wraps any weight format.
    """

    def __init__(self, inner: Weights, reference: Array | None, diagonals: Array | None = None) -> None:
        """``reference``: A as the core of W's structure, or the ``diagonals`` (copies, n)."""
        self.inner = inner
        self.structure, self.copies = inner.structure, inner.copies
        self.reference = None if reference is None else Physics(reference)
        self.diagonals = None if diagonals is None else Physics(diagonals)

    @classmethod
    def around(cls, inner: Weights, physics: LinearOperator, *, frozen: bool = False) -> Normalised:
        """Normalise with the physics ``A``; weights that do not train (``frozen``, or ``Fixed``) get their diagonals
        computed once.
        """
        check_entries("Normalised: the matrix of the physics", *physics.shape)
        layers = [inner.layer(k).prepare() for k in range(inner.copies if frozen or isinstance(inner, Fixed) else 1)]
        reference = physics.core(layers[0].mask())
        if not (frozen or isinstance(inner, Fixed)):
            return cls(inner, reference)
        return cls(inner, None, _reciprocal(jnp.stack([layer.column_products(reference) for layer in layers])))

    @classmethod
    def for_map(
        cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, *, inner: WeightsFactory, **options: Any
    ) -> Normalised:
        if not linear_map.transposed:
            raise ValueError("Normalised: only maps of the shape of A, applied as W^T, have columns to normalise")
        return cls.around(inner(linear_map, physics, copies, **options), physics)

    def prepare(self) -> Any:
        return self.inner.prepare(), None if self.diagonals is None else self.diagonals[...]

    def matrix(self, parameters: Any) -> LinearOperator:
        matrix = self.inner.matrix(parameters[0])
        if self.reference is None:
            return Composition(matrix, Diagonal(parameters[1]))
        scale = _reciprocal(matrix.column_products(self.reference[...]))
        return Composition(matrix, Diagonal(scale))

    def resident_bits(self) -> int:
        """The diagonals are held while the network runs: 32 bits per unknown and matrix."""
        return super().resident_bits() + 32 * self.copies * self.shape[1]

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        inner = Weights.unpack(cls._inner_of(spec, arrays), linear_map, physics, frozen=frozen)
        return cls.around(inner, physics, frozen=frozen)

    def rebuild(self, matrices: Array) -> Weights:
        return self._with(self.inner.rebuild(matrices))

    def unquantised(self) -> Weights:
        return self._with(self.inner.unquantised())

    def quantised_from(self, trained: Weights) -> Weights:
        assert isinstance(trained, Normalised)
        return self._with(self.inner.quantised_from(trained.inner))

    def _with(self, inner: Weights) -> Normalised:
        """The same normalisation around other weights of the same structure."""
        held = (self.reference, self.diagonals)
        return Normalised(inner, *(None if variable is None else variable[...] for variable in held))


class Transformed(Wrapper):
    """``W = S Psi``: S is learned in the domain of the signal, Psi a fast transform that stores nothing.

    For physics ``A = Phi Psi`` (measurement after synthesis), where S starts at Phi: +-1 patterns stay one-bit
    although ``A`` itself is not.
    """

    def __init__(self, inner: Weights, transform: LinearOperator) -> None:
        self.inner = inner
        self.transform = Physics(transform)
        self.copies = inner.copies
        self.structure = Composition(inner.layer(0), transform).mask()

    @classmethod
    def for_map(
        cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, *, inner: WeightsFactory, **options: Any
    ) -> Transformed:
        if not linear_map.transposed:
            raise ValueError("Transformed: only maps of the shape of A, applied as W^T, have a signal domain")
        composed = _composed(physics)
        return cls(inner(_signal_map(linear_map, composed), composed.outer, copies, **options), composed.inner)

    def prepare(self) -> Any:
        return self.inner.prepare()

    def matrix(self, parameters: Any) -> LinearOperator:
        return Composition(self.inner.matrix(parameters), self.transform.get_value())

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        composed = _composed(physics)
        packed, signal_map = cls._inner_of(spec, arrays), _signal_map(linear_map, composed)
        return cls(Weights.unpack(packed, signal_map, composed.outer, frozen=frozen), composed.inner)

    def rebuild(self, matrices: Array) -> Weights:
        transform = self.transform.get_value()
        signal = jax.vmap(lambda matrix: transform(matrix))(matrices)  # W Psi^T = S Psi Psi^T = S, row by row
        return Transformed(self.inner.rebuild(signal), transform)

    def unquantised(self) -> Weights:
        return Transformed(self.inner.unquantised(), self.transform.get_value())

    def quantised_from(self, trained: Weights) -> Weights:
        assert isinstance(trained, Transformed)
        return Transformed(self.inner.quantised_from(trained.inner), self.transform.get_value())


def _composed(physics: LinearOperator) -> Composition:
    if not isinstance(physics, Composition):
        raise ValueError(
            f"Transformed: expected physics that is a composition A = Phi Psi, got {type(physics).__name__}"
        )
    if not physics.inner.is_orthogonal:
        raise ValueError("Transformed: expected an orthonormal synthesis Psi; learn W in the domain of x instead")
    return physics


def _signal_map(linear_map: LinearMap, physics: Composition) -> LinearMap:
    """The map of the signal domain: it starts at Phi (or a multiple) where the map starts at A, at W Psi^T elsewhere
    (Psi orthonormal), which has none of the zeros of Phi.
    """
    initial, outer = linear_map.initial, physics.outer
    if initial is physics:
        return LinearMap(outer, outer.mask(), linear_map.transposed)
    if isinstance(initial, Scaled) and initial.operator is physics:
        return LinearMap(Scaled(outer, initial.factor), outer.mask(), linear_map.transposed)
    start = Composition(initial, physics.inner.T)
    return LinearMap(start, start.mask(), linear_map.transposed)


def _reciprocal(products: Array) -> Array:
    """``1 / d`` kept finite where a column is orthogonal to the physics (its unknown then keeps a bounded gain)."""
    size = jnp.maximum(jnp.abs(products), 1e-6)
    return jnp.where(products < 0, -1.0, 1.0) / size


def normalised(inner: WeightsFactory) -> WeightsFactory:
    """Factory of ``Normalised`` weights around another factory."""
    return partial(Normalised.for_map, inner=inner)


def in_signal_domain(inner: WeightsFactory) -> WeightsFactory:
    """Factory of ``Transformed`` weights around another factory."""
    return partial(Transformed.for_map, inner=inner)
