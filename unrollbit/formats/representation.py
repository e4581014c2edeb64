"""Formats that store matrices: what they have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.cores import as_structure, core_stack, with_magnitude
from unrollbit.formats.stored import Stored
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import mask_rows_bits, packed_mask
from unrollbit.sizes import positive_integer
from unrollbit.structures import Structure
from unrollbit.variables import Physics

Variables = dict[str, nnx.Variable]
Values = Mapping[str, Any]


class Representation(Format, abstract=True):
    """A format that stores matrices.

    A subclass is a frozen dataclass. It says what a file holds (``stored``), how matrices become that (``start``), and
    how one slice of it becomes a matrix (``trained``). What trains has the names of the stored arrays, unless
    ``values``, ``restored`` and ``variables`` say otherwise. Matrices are cores, (copies, *core_shape).
    """

    needs_mask: ClassVar[bool] = True  # whether an irregular mask is held beside the arrays
    signed: ClassVar[bool] = True  # whether its entries are signs, which can be measured against those of the physics

    @property
    def description(self) -> str:
        """The format in words, for people."""
        return repr(self)

    @abc.abstractmethod
    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        """The arrays of a file by name."""

    @abc.abstractmethod
    def start(self, cores: Float[Array, "copies ..."], structure: Structure) -> Values:
        """What the best representation of matrices holds, by name: latents for signs, numbers for scales."""

    @abc.abstractmethod
    def trained(self, parameters: Any, structure: Structure) -> LinearOperator:
        """One matrix from one slice of ``parameters``, with pseudo-gradients in the backward pass."""

    def parameters(self, values: Values, structure: Structure) -> Any:
        """What ``start`` calls values, of the variables, as a pytree with leading axis ``copies``."""
        del structure
        return dict(values)

    def values(self, values: Values, structure: Structure) -> Values:
        """What a file holds, as floats, of these values; inside compiled programs."""
        del structure
        return values

    def restored(self, stored: Values, structure: Structure) -> Values:
        """Inverse of ``values``."""
        del structure
        return stored

    def variables(self, values: Values, structure: Structure, copies: int) -> Variables:
        """What is trained for these values."""
        stored = self.stored(structure, copies)
        return {name: stored[name].variable(array) for name, array in values.items()}

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        """The operator of one copy that runs on the held arrays.

        By default they are expanded, one layer at a time, when the layer runs; the formats of the library run on the
        packed bits. ``exists``: packed rows of an irregular mask.
        """
        del exists
        stored = self.stored(structure, 1)
        values = {name: stored[name].expand(array)[None] for name, array in arrays.items()}
        return self.trained(jax.tree.map(lambda a: a[0], self.parameters(values, structure)), structure)

    def stacked(self, arrays: Mapping[str, Array], copies: int) -> dict[str, Array]:
        """Held arrays with a leading axis of copies (they have one already, unless copies share something)."""
        del copies
        return dict(arrays)

    def floats(self, values: Values, structure: Structure) -> Array:
        """The cores to train in full precision before quantising.

        By default latents, where a file holds one digit of each entry, in the mean magnitude of what they stand for;
        else the matrices themselves.
        """
        represented = jax.vmap(lambda own: self.trained(own, structure).core(structure))
        cores = represented(self.parameters(values, structure))
        stored = self.stored(structure, len(cores)).items()
        latents = [values[name] for name, array in stored if array.weights and name in values]
        if len(latents) == 1 and latents[0].shape == cores.shape:
            return with_magnitude(latents[0], jnp.abs(cores), structure)
        return cores

    def of(self, values: Values, structure: Structure, copies: int) -> Weights:
        """Weights that hold these values."""
        return Weights(self, structure, copies, self.variables(values, structure, copies))

    def held(self, weights: Weights) -> Values:
        """The values of trained weights."""
        stored = self.stored(weights.structure, weights.copies)
        return {
            name: stored[name].values(variable[...]) if name in stored else variable[...]
            for name, variable in weights.variables.items()
        }

    def from_cores(self, cores: Array, structure: Structure) -> Weights:
        return self.of(self.start(cores, structure), structure, cores.shape[0])

    def from_matrix(self, matrix: Any, mask: Any = None, *, copies: int = 1) -> Weights:
        return self.from_cores(*core_stack(matrix, as_structure(mask), copies))

    def build(self, place: Place) -> Weights:
        return self.from_cores(*core_stack(place.map.initial, place.map.structure, place.copies))

    def moved(self, weights: Weights, place: Place) -> Weights:
        structure = place.map.structure
        if structure.core_shape != weights.structure.core_shape:
            raise ValueError(
                f"weights: expected a structure with cores of shape {weights.structure.core_shape}, got {structure}; "
                "only shared taps fit physics of another size"
            )
        variables = {name: type(variable)(variable[...]) for name, variable in weights.variables.items()}
        given = {"exists": Physics(packed_mask(structure) if self.needs_mask else None)} if weights.packed else {}
        return Weights(self, structure, weights.copies, variables, given=given, packed=weights.packed)

    def rebuild(self, weights: Weights, matrices: Array) -> Weights:
        return self.from_cores(*core_stack(matrices, weights.structure, matrices.shape[0]))

    def prepare(self, weights: Weights) -> Any:
        if not weights.packed:
            return self.parameters(self.held(weights), weights.structure)
        return self.stacked({name: variable[...] for name, variable in weights.variables.items()}, weights.copies)

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        if weights.packed:
            return self.packed(parameters, weights.given["exists"].get_value(), weights.structure)
        return self.trained(parameters, weights.structure)

    def unquantised(self, weights: Weights, floats: Format) -> Weights:
        return floats.from_cores(_floats(weights), weights.structure)

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        return physics if self.signed else None

    def round(self, weights: Weights) -> None:
        for name, stored in self.stored(weights.structure, weights.copies).items():
            if name in weights.variables:
                weights.variables[name][...] = stored.rounded(weights.variables[name][...])

    def mask_rows_bits(self, structure: Structure) -> int:
        return mask_rows_bits(structure) if self.needs_mask else structure.held_bits

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return (self.description,)

    def pack(self, weights: Weights) -> PackedWeights:
        stored = self.stored(weights.structure, weights.copies)
        if weights.packed:
            arrays = {name: stored[name].release(np.asarray(v[...])) for name, v in weights.variables.items()}
        else:
            arrays = {name: stored[name].encode(np.asarray(array)) for name, array in _values(weights).items()}
        return PackedWeights({"structure": weights.structure.to_spec(), "copies": weights.copies}, arrays)

    def read(self, place: Place, packed: PackedWeights, *, frozen: bool) -> Weights:
        spec, kind = packed.spec, type(self).__name__
        check_names(kind, spec, ("format", "structure", "copies"), "field")
        structure, copies = stored_structure(spec, place), positive_integer("copies", spec["copies"])
        stored = self.stored(structure, copies)
        arrays = checked(kind, stored, packed.arrays)
        if not frozen:
            decoded = {name: stored[name].decode(array) for name, array in arrays.items()}
            return self.of(self.restored(decoded, structure), structure, copies)
        held = {name: Physics(jnp.asarray(stored[name].hold(array))) for name, array in arrays.items()}
        given = {"exists": Physics(packed_mask(structure) if self.needs_mask else None)}
        return Weights(self, structure, copies, held, given=given, packed=True)


@jax.jit
def _floats(weights: Weights) -> Array:
    format: Any = weights.format
    return format.floats(format.held(weights), weights.structure)


@jax.jit
def _values(weights: Weights) -> dict[str, Array]:
    format: Any = weights.format
    return dict(format.values(format.held(weights), weights.structure))


def check_names(kind: str, found: Any, expected: Any, what: str) -> None:
    """Raise ``ValueError`` for a name in a file that the format does not know: nothing there is ignored."""
    if unknown := sorted(set(found) - set(expected)):
        raise ValueError(
            f"weights of format {kind}: {what} {', '.join(map(repr, unknown))} of no use; expected "
            f"{', '.join(map(repr, expected)) or 'none'}"
        )


def checked(kind: str, stored: Mapping[str, Stored], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a file, after checking them all. Raises ``ValueError`` for a missing or wrong one."""
    check_names(kind, arrays, stored, "array")
    for name, expected in stored.items():
        expected.check(name, required(arrays, name, expected.shape, expected.dtype))
    return {name: arrays[name] for name in stored}


def required(arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of a file that exists, has this shape and dtype, and is finite; ``ValueError`` otherwise."""
    if name not in arrays:
        raise ValueError(f"array {name!r} is missing")
    array = arrays[name]
    if array.shape != shape or array.dtype != np.dtype(dtype):
        raise ValueError(
            f"array {name!r}: expected shape {shape}, dtype {np.dtype(dtype)}; got {array.shape}, {array.dtype}"
        )
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ValueError(f"array {name!r} has NaN or infinite entries")
    return array


def stored_structure(spec: Mapping[str, Any], place: Place) -> Structure:
    """The structure in a file, after checking (before anything is allocated) that it is of the map's shape."""
    structure = Structure.from_spec(spec["structure"])
    if structure.shape != place.map.shape:
        raise ValueError(f"weights: expected matrices of shape {place.map.shape}, the file has {structure.shape}")
    if not structure.size:
        raise ValueError(f"weights: expected a mask with entries, got {structure}")
    return structure
