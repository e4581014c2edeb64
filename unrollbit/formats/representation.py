"""Formats that store matrices: what they have in common, and the plainest of them, 32-bit floats."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arguments import check_names
from unrollbit.arrays import required
from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.cores import with_magnitude
from unrollbit.formats.stored import Entries, Stored
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import masked
from unrollbit.packed_operators.packed_signs import mask_rows_bits, packed_mask
from unrollbit.sizes import positive_integer
from unrollbit.structures import Structure
from unrollbit.variables import Physics

Values = Mapping[str, Any]


class Representation(Format, abstract=True):
    """A format that stores matrices.

    A subclass is a frozen dataclass. It says what a file holds (``stored``), how matrices become that (``start``), and
    how one slice of it becomes a matrix (``trained``). What trains are the values of the stored arrays, unless
    ``trains``, ``to_stored`` and ``from_stored`` say otherwise. Matrices are cores, (copies, *core_shape).
    """

    needs_mask: ClassVar[bool] = True  # whether an irregular mask is held beside the arrays

    @abc.abstractmethod
    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        """The arrays of a file by name."""

    @abc.abstractmethod
    def start(self, cores: Float[Array, "copies ..."], structure: Structure) -> Values:
        """Values of what trains, of the best representation of matrices: latents for signs, numbers for scales."""

    @abc.abstractmethod
    def trained(self, parameters: Any, structure: Structure) -> LinearOperator:
        """One matrix from one copy's stored values, with pseudo-gradients in the backward pass."""

    def trains(self, structure: Structure, copies: int) -> dict[str, Stored]:
        """The arrays that train, by name."""
        return self.stored(structure, copies)

    def to_stored(self, values: Values, structure: Structure) -> Values:
        """The values that a file holds of those that train; differentiable."""
        return values

    def from_stored(self, values: Values, structure: Structure) -> Values:
        """Inverse of ``to_stored``."""
        return values

    def stacked(self, arrays: Values) -> Values:
        """Stored values, or held arrays, with an axis of copies (most have it already; copies may share some)."""
        return dict(arrays)

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        """The operator of one copy that runs on the held arrays; ``exists``: packed rows of an irregular mask.

        By default they are expanded, one layer at a time, when the layer runs; the formats of the library run on the
        packed bits.
        """
        stored = self.stored(structure, 1)
        return self.trained({name: stored[name].expand(array) for name, array in arrays.items()}, structure)

    def floats(self, values: Values, structure: Structure) -> Array:
        """The cores to train in full precision before quantising.

        By default latents, where one array of entries trains, in the mean magnitude of what they stand for; else the
        matrices themselves.
        """
        parameters = self.stacked(self.to_stored(values, structure))
        cores = jax.vmap(lambda own: self.trained(own, structure).core(structure))(parameters)
        latents = [values[name] for name, array in self.trains(structure, len(cores)).items() if array.weights]
        if len(latents) == 1 and latents[0].shape == cores.shape:
            return with_magnitude(latents[0], jnp.abs(cores), structure)
        return cores

    def of(self, values: Values, structure: Structure, copies: int) -> Weights:
        """Weights that hold these values."""
        trains = self.trains(structure, copies)
        raw = {name: trains[name].raw(jnp.asarray(array, jnp.float32)) for name, array in values.items()}
        return self._holding(structure, copies, {name: trains[name].param(array) for name, array in raw.items()})

    def held(self, weights: Weights) -> Values:
        """The values of trained weights."""
        trains = self.trains(weights.structure, weights.copies)
        return {name: trains[name].values(variable[...]) for name, variable in weights.variables.items()}

    def _holding(self, structure: Structure, copies: int, variables: Any, packed: bool = False) -> Weights:
        given = {"exists": Physics(packed_mask(structure) if self.needs_mask else None)} if packed else {}
        beside = mask_rows_bits(structure) if self.needs_mask else structure.held_bits
        return Weights(self, structure, copies, variables, given=given, held_bits=beside, packed=packed)

    def _frozen(self, arrays: Mapping[str, np.ndarray], structure: Structure, copies: int) -> Weights:
        stored = self.stored(structure, copies)
        held = {name: Physics(jnp.asarray(array.hold(arrays[name]))) for name, array in stored.items()}
        return self._holding(structure, copies, held, packed=True)

    def encoded(self, weights: Weights, structure: Structure) -> dict[str, np.ndarray]:
        """The arrays of a file that holds these weights with cores of ``structure``."""
        arrays = self.stored(structure, weights.copies)
        return {name: arrays[name].encode(np.asarray(values)) for name, values in _values(weights).items()}

    def from_cores(self, cores: Array, structure: Structure) -> Weights:
        return self.of(self.start(cores, structure), structure, cores.shape[0])

    def moved(self, weights: Weights, place: Place) -> Weights:
        structure = place.map.structure
        if structure.core_shape != weights.structure.core_shape:
            raise ValueError(
                f"weights: expected a structure with cores of shape {weights.structure.core_shape}, got {structure}; "
                "only shared taps fit physics of another size"
            )
        if weights.packed and not self.needs_mask:  # what the new mask forbids is not held
            return self._frozen(self.encoded(weights, structure), structure, weights.copies)
        variables = {name: type(variable)(variable[...]) for name, variable in weights.variables.items()}
        return self._holding(structure, weights.copies, variables, weights.packed)

    def prepare(self, weights: Weights) -> Any:
        if weights.packed:
            return self.stacked({name: variable[...] for name, variable in weights.variables.items()})
        return self.stacked(self.to_stored(self.held(weights), weights.structure))

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        if weights.packed:
            return self.packed(parameters, weights.given["exists"].get_value(), weights.structure)
        return self.trained(parameters, weights.structure)

    def round(self, weights: Weights) -> None:
        trains = self.trains(weights.structure, weights.copies)
        for name, variable in weights.variables.items():
            variable[...] = trains[name].rounded(variable[...])

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        spec, kind, fields = packed.spec, f"weights of format {type(self).__name__}", ("format", "structure", "copies")
        check_names(f"{kind}, fields", spec, fields, fields)
        structure, copies = Structure.from_spec(spec["structure"]), positive_integer("copies", spec["copies"])
        if structure.shape != place.map.shape:  # before anything is allocated
            raise ValueError(f"weights: expected matrices of shape {place.map.shape}, the file has {structure.shape}")
        if not structure.size:
            raise ValueError(f"weights: expected a mask with entries, got {structure}")
        stored = self.stored(structure, copies)
        check_names(f"{kind}, arrays", packed.arrays, stored)
        for name, expected in stored.items():
            expected.check(name, required(packed.arrays, name, expected.shape, expected.dtype))
        if frozen:
            return self._frozen(packed.arrays, structure, copies)
        decoded = {name: array.decode(packed.arrays[name]) for name, array in stored.items()}
        return self.of(self.from_stored(decoded, structure), structure, copies)


@jax.jit
def _values(weights: Any) -> dict[str, Array]:
    """What a file holds of weights, before it becomes arrays."""
    if weights.packed:
        stored = weights.stored()
        return {name: stored[name].expand(held[...]) for name, held in weights.variables.items()}
    return dict(weights.format.to_stored(weights.format.held(weights), weights.structure))


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
    words: ClassVar[str] = "full precision (32-bit floats)"

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"values": Entries((copies,), structure)}

    def start(self, cores: Array, structure: Structure) -> Values:
        return {"values": cores}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        return masked(parameters["values"], structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        return masked(arrays["values"], structure)
