"""The module that holds learned matrices in any format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.formats.base import Format, PackedWeights, Place
from unrollbit.formats.stored import Stored
from unrollbit.operators import LinearOperator
from unrollbit.structures import Structure


class Weights(nnx.Module):
    """``copies`` matrices of one shape in a ``Format``; layer ``k`` of a network uses matrix ``k mod copies``.

    ``variables`` are what is trained or, if ``packed``, the arrays of a file; ``given`` is what the physics determines.
    A wrapper's weights have ``inner`` weights. ``held_bits`` are the bits of ``given`` that are held beside the physics
    while the network runs. The matrix is held as the core of ``structure``: entries that the physics forbids do not
    exist.
    """

    def __init__(
        self,
        format: Format,
        structure: Structure,
        copies: int,
        variables: Mapping[str, nnx.Variable] | None = None,
        *,
        inner: Weights | None = None,
        given: Mapping[str, nnx.Variable] | None = None,
        held_bits: int = 0,
        packed: bool = False,
    ) -> None:
        self.format = format
        self.structure = structure
        self.copies = copies
        self.variables = nnx.Dict(dict(variables or {}))
        self.given = nnx.Dict(dict(given or {}))
        self.inner = inner
        self.held_bits = held_bits
        self.packed = packed

    def __repr__(self) -> str:
        m, n = self.shape
        matrices = "1 matrix" if self.copies == 1 else f"{self.copies} matrices"
        return f"Weights({self.format.name}, {matrices} {m} x {n}{', packed' * self.packed})"

    __str__ = __repr__

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)`` of each matrix."""
        return self.structure.shape

    @property
    def leaf(self) -> Weights:
        """The weights inside all wrappers, which store everything that is stored."""
        return self if self.inner is None else self.inner.leaf

    @property
    def rank(self) -> int:
        """Rank of sign factors. Raises ``AttributeError`` for formats that have none."""
        return self.leaf.format.rank_of(self.leaf.structure)

    def stored(self) -> dict[str, Stored]:
        """The arrays that a file holds, by name: their shapes, dtypes and bits."""
        leaf = self.leaf
        return leaf.format.stored(leaf.structure, leaf.copies)

    @property
    def active_links(self) -> int:
        """Links of one matrix without structural zeros: scalar multiplications by something that can be learned."""
        return self.leaf.structure.links

    @property
    def mask_bits(self) -> int:
        """Bits that a file spends on the structure of what it stores."""
        return self.leaf.structure.mask_bits if self.stored_weights() else 0

    def stored_weights(self) -> int:
        """Number of stored matrix entries, tied ones once, each sign plane on its own."""
        return sum(array.weights for array in self.stored().values())

    def weight_bits(self) -> int:
        """Bits of the matrix entries by formula: no padding."""
        return sum(array.weight_bits for array in self.stored().values())

    def scale_bits(self) -> int:
        """Bits of the scales at their stored width."""
        return sum(array.scale_bits for array in self.stored().values())

    def bits(self) -> int:
        """Weight and scale bits by formula."""
        return self.weight_bits() + self.scale_bits()

    def stored_bits(self) -> int:
        """Bits of the arrays that a file holds, padding included."""
        return sum(8 * array.nbytes for array in self.pack().arrays.values())

    def resident_bits(self) -> int:
        """Bits of the matrices in memory while a loaded network runs, at the width they are held in."""
        if self.inner is not None:
            return self.held_bits + self.inner.resident_bits()
        held = sum(array.resident_bits for array in self.stored().values())
        return self.held_bits + held + self.format.mask_rows_bits(self.structure)

    def prepare(self) -> Any:
        """The parameters as a pytree of arrays with leading axis ``copies`` (no arrays: an empty pytree)."""
        return self.format.prepare(self)

    def matrix(self, parameters: Any) -> LinearOperator:
        """One layer's matrix from one slice of ``prepare()``."""
        return self.format.matrix(self, parameters)

    def layer(self, index: int = 0) -> LinearOperator:
        """Matrix number ``index`` as an operator."""
        if not 0 <= index < self.copies:
            raise IndexError(f"layer: expected an index in [0, {self.copies}), got {index}")
        return self.matrix(jax.tree.map(lambda a: a[index], self.prepare()))

    def apply(self, x: Float[Array, "*batch n"], layer: int = 0) -> Float[Array, "*batch m"]:
        """``W x`` with matrix number ``layer``."""
        return self.layer(layer)(x)

    def apply_transpose(self, r: Float[Array, "*batch m"], layer: int = 0) -> Float[Array, "*batch n"]:
        """``W^T r`` with matrix number ``layer``."""
        return self.layer(layer).T(r)

    def dense(self) -> Float[Array, "copies m n"]:
        """All matrices, dense; differentiable."""
        return _dense(self)

    def rebuild(self, matrices: Float[Array, "copies m n"]) -> Weights:
        """The same format at the same place, started from other matrices. Raises ``TypeError`` for packed weights."""
        self._check_trains()
        return self.format.rebuild(self, matrices)

    def unquantised(self, floats: Format) -> Weights:
        """These weights held in the format ``floats``, to train before quantising."""
        self._check_trains()
        return self.format.unquantised(self, floats)

    def quantised_from(self, trained: Weights) -> Weights:
        """These weights, started from what became of ``unquantised``."""
        self._check_trains()
        return self.format.quantised_from(self, trained)

    def _check_trains(self) -> None:
        if self.packed:
            raise TypeError("weights on packed bits do not train; take the network that trainable() returns")

    def around(self, inner: Weights) -> Weights:
        """The same wrapper around other weights."""
        format = replace(self.format, inner=inner.format)  # pyright: ignore[reportArgumentType]
        given = {name: type(variable)(variable.get_value()) for name, variable in self.given.items()}
        return Weights(format, self.structure, inner.copies, inner=inner, given=given, held_bits=self.held_bits)

    def round_scales(self) -> None:
        """Round what is stored in fewer bits than it trains in, so that the weights in memory equal their file.

        Networks do so when they are built, and ``fit`` when it ends.
        """
        leaf = self.leaf
        if not leaf.packed:
            leaf.format.round(leaf)

    def describe(self) -> tuple[str, ...]:
        """The format in words, the representation first, then what is around it."""
        return self.format.describe(self)

    def pack(self) -> PackedWeights:
        """Spec and arrays for a file; signs as packed bits."""
        leaf = self.leaf
        spec, arrays = leaf.format.pack(leaf)
        return PackedWeights({"format": self.format.to_spec(), **spec}, arrays)

    @staticmethod
    def unpack(
        packed: PackedWeights, linear_map: LinearMap, physics: LinearOperator, *, frozen: bool = False
    ) -> Weights:
        """Inverse of ``pack``: trainable weights, or (``frozen``) weights that run on the packed bits.

        Raises ``ValueError`` for an unknown format, missing arrays, or arrays of a wrong shape, dtype or value.
        """
        spec = packed.spec
        if not isinstance(spec, dict) or "format" not in spec:
            raise ValueError(f"weights: expected a table with the key 'format', got {spec!r:.80}")
        format = Format.from_spec(spec["format"])
        try:
            return format.read(Place(linear_map, physics), packed, frozen=frozen)
        except KeyError as error:
            raise ValueError(f"weights of format {spec['format']['kind']!r} lack {error}") from error
        except TypeError as error:
            raise ValueError(f"weights of format {spec['format']['kind']!r}: a wrong type ({error})") from error


@jax.jit
def _dense(weights: Weights) -> Array:
    parameters = weights.prepare()
    if not jax.tree.leaves(parameters):  # nothing is stored: every copy is the same
        return jnp.repeat(jnp.asarray(weights.matrix(parameters).dense())[None], weights.copies, axis=0)
    return jax.vmap(lambda own: weights.matrix(own).dense())(parameters)
