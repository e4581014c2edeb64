"""The contract of a weight format: how a learned matrix is represented, trained, counted and stored."""

from __future__ import annotations

import abc
import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.structures import Structure

Arrays = dict[str, np.ndarray]


class PackedWeights(NamedTuple):
    """What a file holds of a weights object: a JSON-able spec and arrays by name."""

    spec: dict[str, Any]
    arrays: Arrays


class Weights(nnx.Module):
    """``copies`` matrices of one shape; layer ``k`` of a network uses matrix ``k mod copies``.

    A format says how its parameters become matrices: ``prepare()`` stacks the parameters on a leading axis ``copies``
    and ``matrix(slice)`` turns one slice into a ``LinearOperator``. Everything else (networks, training, counting)
    uses these two. The matrix is held as the core of ``structure``: entries that the physics forbids do not exist.
    """

    kinds: ClassVar[dict[str, type[Weights]]] = {}
    structure: Structure
    copies: int

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Weights.kinds[cls.__name__] = cls

    @property
    def shape(self) -> tuple[int, int]:
        """``(m, n)`` of each matrix."""
        return self.structure.shape

    @abc.abstractmethod
    def prepare(self) -> Any:
        """Parameters as a pytree of arrays with leading axis ``copies`` (no arrays: an empty pytree)."""

    @abc.abstractmethod
    def matrix(self, parameters: Any) -> LinearOperator:
        """One layer's matrix from one slice of ``prepare()``."""

    @property
    def active_links(self) -> int:
        """Links of one matrix without structural zeros: scalar multiplications by something that can be learned."""
        return self.structure.links

    @property
    def mask_bits(self) -> int:
        """Bits that a file spends on the structure of what it stores."""
        return self.structure.mask_bits if self.stored_weights() else 0

    @abc.abstractmethod
    def stored_weights(self) -> int:
        """Number of stored matrix entries, tied ones once, each sign plane on its own."""

    @abc.abstractmethod
    def weight_bits(self) -> int:
        """Bits of the matrix entries by formula: no padding."""

    @abc.abstractmethod
    def scale_bits(self) -> int:
        """Bits of the scales at their stored width."""

    @abc.abstractmethod
    def pack(self) -> PackedWeights:
        """Spec and arrays for a file; signs as packed bits."""

    @classmethod
    @abc.abstractmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights: ...

    @classmethod
    @abc.abstractmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int, **options: Any) -> Weights:
        """Initialise from an algorithm's map at its physics value; the signature of a ``WeightsFactory``."""

    @abc.abstractmethod
    def rebuild(self, matrices: Float[Array, "copies m n"]) -> Weights:
        """The same format with the same options, initialised from other matrices."""

    def unquantised(self) -> Weights:
        """Full-precision weights to train before quantising; they start at these matrices."""
        plain: Any = Weights.kinds["FullPrecision"]  # a kind, whose file imports this one
        return plain.from_matrix(self.dense(), self.structure, copies=self.copies)

    def quantised_from(self, trained: Weights) -> Weights:
        """This format, initialised from what became of ``unquantised()``."""
        return self.rebuild(trained.dense())

    @staticmethod
    def unpack(
        packed: PackedWeights, linear_map: LinearMap, physics: LinearOperator, *, frozen: bool = False
    ) -> Weights:
        """Inverse of ``pack``: trainable weights, or (``frozen``) weights that run on the packed bits.

        Raises ``ValueError`` for an unknown format, missing arrays, or arrays of a wrong shape, dtype or value.
        """
        kind = packed.spec.get("kind") if isinstance(packed.spec, dict) else packed.spec
        known = {name: found for name, found in Weights.kinds.items() if not inspect.isabstract(found)}
        if not isinstance(kind, str) or kind not in known:
            raise ValueError(f"unknown weight format {kind!r}; expected one of {sorted(known)}")
        try:
            return known[kind]._unpack(packed.spec, packed.arrays, linear_map, physics, frozen)
        except KeyError as error:
            raise ValueError(f"weights of format {kind!r} lack {error}") from error
        except TypeError as error:
            raise ValueError(f"weights of format {kind!r} have a field of the wrong type: {error}") from error

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
        parameters = self.prepare()
        if not jax.tree.leaves(parameters):  # nothing is stored: every copy is the same
            return jnp.repeat(self.matrix(parameters).dense()[None], self.copies, axis=0)
        return jax.vmap(lambda own: self.matrix(own).dense())(parameters)

    @property
    def normalisable(self) -> bool:
        """Whether recipes normalise the columns with the physics; not where few directions are left of them."""
        return True

    def round_scales(self) -> None:
        """Round what is stored in fewer bits than it trains in, so that the weights in memory equal their file.

        Networks do so when they are built, and ``fit`` when it ends. Nothing to do for scales that are stored as
        float32.
        """

    def bits(self) -> int:
        """Weight and scale bits by formula."""
        return self.weight_bits() + self.scale_bits()

    def stored_bits(self) -> int:
        """Bits of the arrays that a file holds, padding included."""
        return sum(8 * array.nbytes for array in self.pack().arrays.values())

    def resident_bits(self) -> int:
        """Bits of the matrices in memory while a loaded network runs, at the width they are held in."""
        return self.bits()


WeightsFactory = Callable[[LinearMap, LinearOperator, int], Weights]


def required(arrays: Arrays, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of a file, after checking that it exists, its shape, dtype and that it is finite."""
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


def check_names(kind: str, found: Iterable[str], expected: Iterable[str], what: str) -> None:
    """Raise ``ValueError`` for a name in a file that the format does not know: nothing there is ignored."""
    if unknown := sorted(set(found) - set(expected)):
        raise ValueError(
            f"weights of format {kind}: {what} {', '.join(map(repr, unknown))} of no use; expected "
            f"{', '.join(map(repr, expected)) or 'none'}"
        )


def stored_structure(spec: dict[str, Any], linear_map: LinearMap) -> Structure:
    """The structure in a file, after checking (before anything is allocated) that it is of the map's shape."""
    structure = Structure.from_spec(spec["structure"])
    if structure.shape != linear_map.shape:
        raise ValueError(f"weights: expected matrices of shape {linear_map.shape}, the file has {structure.shape}")
    if not structure.size:
        raise ValueError(f"weights: expected a mask with entries, got {structure}")
    return structure


def core_stack(matrices: Any, structure: Structure | None, copies: int) -> tuple[Array, Structure]:
    """Cores ``(copies, *core_shape)`` of one matrix (repeated) or of a stack of ``copies`` matrices.

    The one matrix may be an operator, whose matrix is formed only where its parts do not give the core. Raises
    ``ValueError`` for matrices that are not real, finite, 2-D or a stack of ``copies`` of them.
    """
    from unrollbit.structures import Full

    if isinstance(matrices, LinearOperator):
        if structure is not None and structure.shape == matrices.shape:
            core = jnp.asarray(matrices.core(structure), jnp.float32)
            return jnp.broadcast_to(core, (copies, *core.shape)), structure
        matrices = matrices.dense()
    array = jnp.asarray(matrices, jnp.float32)
    if array.ndim == 2:
        array = jnp.broadcast_to(array, (copies, *array.shape))
    if array.ndim != 3 or array.shape[0] != copies or array.size == 0:
        raise ValueError(f"matrix: expected shape (m, n) or ({copies}, m, n), got {jnp.shape(matrices)}")
    if not bool(jnp.isfinite(array).all()):
        raise ValueError("matrix: contains NaN or infinite entries")
    structure = Full(array.shape[1], array.shape[2]) if structure is None else structure
    if structure.shape != array.shape[1:]:
        raise ValueError(f"mask: expected shape {array.shape[1:]}, got {structure.shape}")
    return structure.gather(array), structure


def as_structure(mask: Any) -> Structure | None:
    """A mask argument: None, a ``Structure`` or a dense boolean matrix."""
    from unrollbit.structures import Indexed

    return mask if mask is None or isinstance(mask, Structure) else Indexed.from_mask(np.asarray(mask))
