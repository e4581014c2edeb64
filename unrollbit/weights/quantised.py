"""Quantised weights: those that train, on latent values, and those that run from the arrays of a file."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Self

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import Structured
from unrollbit.packed_operators.packed_signs import packed_mask
from unrollbit.structures import Structure
from unrollbit.variables import BinaryParam, Physics
from unrollbit.weights.base import Arrays, PackedWeights, Weights, stored_structure
from unrollbit.weights.format import Format
from unrollbit.weights.full_precision import FullPrecision
from unrollbit.weights.surrogates import Surrogate, identity


class Formatted(Weights):
    """Weights whose bits and files follow from a ``Format``."""

    format: Format

    def _adopt(self, format: Format) -> None:
        self.format, self.structure, self.copies = format, format.structure, format.copies

    def stored_weights(self) -> int:
        return self.format.stored_weights

    def weight_bits(self) -> int:
        return self.format.weight_bits

    def scale_bits(self) -> int:
        return self.format.scale_bits

    def resident_bits(self) -> int:
        return self.format.resident_bits


class Frozen(Formatted):
    """Weights that run from the arrays of a file, as packed as they are there; made by ``load``."""

    def __init__(self, format: Format, arrays: Arrays, surrogate: Surrogate | None = None) -> None:
        self._adopt(format)
        self.surrogate = identity() if surrogate is None else surrogate  # with which they train again
        held = {name: stored.hold(arrays[name]) for name, stored in format.stored().items()}
        self.arrays = nnx.Dict({name: Physics(jnp.asarray(array)) for name, array in held.items()})
        self.exists = Physics(packed_mask(format.structure) if format.needs_mask else None)

    def prepare(self) -> dict[str, Array]:
        return self.format.stacked({name: variable[...] for name, variable in self.arrays.items()})

    def matrix(self, parameters: dict[str, Array]) -> LinearOperator:
        return self.format.operator(parameters, self.exists.get_value())

    def pack(self) -> PackedWeights:
        stored = self.format.stored()
        arrays = {name: stored[name].release(np.asarray(variable[...])) for name, variable in self.arrays.items()}
        return PackedWeights({**self.format.spec(), "surrogate": self.surrogate.to_spec()}, arrays)

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Weights:
        raise TypeError("Frozen weights are read from files; build with a format such as OneBit")

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        raise ValueError("files name a format, such as 'OneBit', not 'Frozen'")

    def rebuild(self, matrices: Array) -> Weights:
        raise TypeError("Frozen weights do not train; take the network that trainable() returns")


class Quantised(Formatted):
    """Weights that train: latent values, quantised in the forward pass, with a pseudo-gradient in the backward pass.

    A format provides ``from_matrix``, ``values`` (what its format stores, as floats), ``prepare``, ``matrix`` and
    ``_from_values`` (inverse of ``values``).
    """

    format_type: ClassVar[type[Format]]
    surrogate: Surrogate

    @abc.abstractmethod
    def values(self) -> dict[str, Array]:
        """The values of the arrays that the format stores, by name."""

    @classmethod
    @abc.abstractmethod
    def from_matrix(cls, matrix: Any, mask: Any = None, *, copies: int = 1, **options: Any) -> Self:
        """Initialise from ``(m, n)`` (repeated) or ``(copies, m, n)``."""

    @classmethod
    @abc.abstractmethod
    def _from_values(cls, format: Any, values: Arrays, surrogate: Surrogate) -> Quantised: ...

    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """Keyword arguments of ``from_matrix`` with which the same format is initialised from other matrices."""

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Self:
        return cls.from_matrix(linear_map.initial, linear_map.structure, copies=copies, **options)

    def rebuild(self, matrices: Array) -> Weights:
        return type(self).from_matrix(matrices, self.structure, copies=matrices.shape[0], **self.options())

    def structured(self, core: Array) -> Structured:
        """An operator of a core whose entries outside an irregular mask are cleared."""
        exists = self.structure.core_mask
        return Structured(core if exists is None else core * exists, self.structure)

    def pack(self) -> PackedWeights:
        stored = self.format.stored()
        arrays = {name: stored[name].encode(np.asarray(values)) for name, values in self.values().items()}
        return PackedWeights({**self.format.spec(), "surrogate": self.surrogate.to_spec()}, arrays)

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        format = cls.format_type.from_spec(spec, stored_structure(spec, linear_map))
        checked = format.checked(arrays)
        surrogate = Surrogate.from_spec(spec["surrogate"]) if "surrogate" in spec else identity()
        if frozen:
            return Frozen(format, checked, surrogate)
        return cls._from_values(
            format, {name: s.decode(checked[name]) for name, s in format.stored().items()}, surrogate
        )


def existing(structure: Structure) -> Array:
    """1 for entries of a core that exist, else 0."""
    exists = structure.core_mask
    return jnp.ones(structure.core_shape) if exists is None else jnp.asarray(exists, jnp.float32)


def mean_of(core: Array, structure: Structure) -> Array:
    """Mean over the existing entries of each core, one number for each leading index (others must be 0)."""
    axes = tuple(range(core.ndim - len(structure.core_shape), core.ndim))
    return core.sum(axes) / structure.size


def per_copy(values: Array, cores: Array) -> Array:
    """One number per copy, shaped to multiply cores."""
    return values.reshape(-1, *(1,) * (cores.ndim - 1))


def normalised_latents(matrices: Array, structure: Structure) -> Array:
    """Cores over their mean magnitude: latents on which one learning rate fits all."""
    mean = jnp.sum(jnp.abs(matrices)) / (matrices.shape[0] * structure.size)
    return matrices / jnp.maximum(mean, 1e-30)


def with_magnitude(latents: Array, magnitude: Array, structure: Structure) -> FullPrecision:
    """Full-precision matrices that are the latents times a factor each, of the mean magnitude of a core each."""
    there = existing(structure)
    latents = latents * there
    axes = tuple(range(1, latents.ndim))
    factor = (magnitude * there).sum(axes, keepdims=True) / jnp.maximum(
        jnp.abs(latents).sum(axes, keepdims=True), 1e-30
    )
    return FullPrecision(latents * factor, structure)


def round_logs(logs: nnx.Variable, kind: np.dtype[Any]) -> None:
    """Round positive scales, held as logarithms, to the dtype in which they are stored."""
    logs[...] = jnp.log(jnp.exp(logs[...]).astype(kind).astype(jnp.float32))


def binary(values: Any) -> BinaryParam:
    """Latents as trained variables."""
    return BinaryParam(jnp.asarray(values, jnp.float32))
