"""The module that holds learned matrices in any format."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
    A wrapper's weights have ``inner`` weights. ``held_bits`` are the bits of what is held beside the physics and the
    arrays while the network runs. The matrix is held as the core of ``structure``: entries that the physics forbids do
    not exist.
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
        self.format: Any = format  # a ``Representation`` stores, rounds and encodes; a ``Wrapper`` goes around
        self.structure = structure
        self.copies = copies
        self.variables = nnx.Dict(dict(variables or {}))
        self.given = nnx.Dict(dict(given or {}))
        self.inner: Any = inner  # of a wrapper's weights
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
    def mask_bits(self) -> int:
        """Bits that a file spends on the structure of what it stores."""
        return self.leaf.structure.mask_bits if self.stored() else 0

    def stored_weights(self) -> int:
        """Number of stored matrix entries, tied ones once, each sign plane on its own."""
        return sum(array.weights for array in self.stored().values())

    def weight_bits(self) -> int:
        """Bits of the matrix entries by formula: no padding."""
        return sum(array.bits for array in self.stored().values() if array.weights)

    def scale_bits(self) -> int:
        """Bits of the scales at their stored width."""
        return self.bits() - self.weight_bits()

    def bits(self) -> int:
        """Weight and scale bits by formula."""
        return sum(array.bits for array in self.stored().values())

    def stored_bits(self) -> int:
        """Bits of the arrays that a file holds, padding included."""
        arrays = self.stored().values()
        return sum(8 * array.dtype.itemsize * math.prod(array.shape) for array in arrays)

    def resident_bits(self) -> int:
        """Bits of the matrices in memory while a loaded network runs, at the width they are held in."""
        if self.inner is not None:
            return self.held_bits + self.inner.resident_bits()
        return self.held_bits + sum(array.resident_bits for array in self.stored().values())

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

    @jax.jit
    def dense(self) -> Float[Array, "copies m n"]:
        """All matrices, dense; differentiable."""
        parameters = self.prepare()
        if not jax.tree.leaves(parameters):  # nothing is stored: every copy is the same
            return jnp.repeat(jnp.asarray(self.matrix(parameters).dense())[None], self.copies, axis=0)
        return jax.vmap(lambda own: self.matrix(own).dense())(parameters)

    def rebuild(self, matrices: Float[Array, "copies m n"]) -> Weights:
        """The same format at the same place, started from other matrices. Raises ``TypeError`` for packed weights."""
        weights: Any = self
        while weights.inner is not None:
            weights, matrices = weights.inner, weights.format.inwards(weights, matrices)
        return self._restarted(matrices)

    def unquantised(self, floats: Format) -> Weights:
        """These weights held in the format ``floats``, to train before quantising."""
        return self._around(lambda leaf: floats.from_cores(_floats(leaf), leaf.structure))

    def quantised_from(self, trained: Weights) -> Weights:
        """These weights, started from what became of ``unquantised``."""
        return self._restarted(trained.leaf.dense())

    def _restarted(self, matrices: Array) -> Weights:
        return self._around(lambda leaf: leaf.format.from_matrix(matrices, leaf.structure, copies=matrices.shape[0]))

    def _around(self, made: Callable[[Weights], Weights]) -> Weights:
        """The same wrappers around what is made of the leaf, where it stores anything."""
        if self.packed:
            raise TypeError("weights on packed bits do not train; take the network that trainable() returns")
        if self.inner is None:
            return made(self) if self.variables else self
        return self.format.around(self, self.inner._around(made))

    def round_scales(self) -> None:
        """Round what is stored in fewer bits than it trains in, so that the weights in memory equal their file.

        Networks do so when they are built, and ``fit`` when it ends.
        """
        if self.leaf.variables and not self.packed:
            self.leaf.format.round(self.leaf)

    def pack(self) -> PackedWeights:
        """Spec and arrays for a file; signs as packed bits."""
        leaf, spec = self.leaf, {"format": self.format.to_spec()}
        if not leaf.variables:
            return PackedWeights(spec, {})
        spec |= {"structure": leaf.structure.to_spec(), "copies": leaf.copies}
        return PackedWeights(spec, leaf.format.encoded(leaf, leaf.structure))

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
        except KeyError as error:  # of a format of one's own
            raise ValueError(f"weights of format {spec['format']['kind']!r} lack {error}") from error
        except TypeError as error:
            raise ValueError(f"weights of format {spec['format']['kind']!r}: a wrong type ({error})") from error


@jax.jit
def _floats(leaf: Any) -> Array:
    return leaf.format.floats(leaf.format.held(leaf), leaf.structure)
