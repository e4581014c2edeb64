"""BitNet's one-bit matrices: signs about the mean, times the mean magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Structure
from unrollbit.variables import Statistic
from unrollbit.weights.base import Arrays, Weights, as_structure, core_stack
from unrollbit.weights.format import Format
from unrollbit.weights.quantised import Quantised, binary, existing, mean_of, per_copy, with_magnitude
from unrollbit.weights.stored import HALF, Floats, Signs, Stored
from unrollbit.weights.surrogates import Surrogate, binarise, identity

_SMALLEST = 1e-30  # of a scale, for a matrix of zeros


@dataclass(frozen=True)
class BitNetFormat(Format):
    """One sign per entry and one 16-bit scale per matrix."""

    name: ClassVar[str] = "BitNet"

    @property
    def description(self) -> str:
        return "one-bit about the mean, one scale per matrix (BitNet)"

    def stored(self) -> dict[str, Stored]:
        return {
            "signs": Signs((self.copies,), self.structure),
            "scale": Floats((self.copies,), HALF, positive=True),
        }

    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        scale = arrays["scale"].astype(jnp.float32)[None]
        return PackedSigns(arrays["signs"][None], scale, exists, self.structure, "layer")


class BitNet(Quantised):
    """``W_hat = beta sign(W - alpha)`` with ``alpha = mean(W)`` and ``beta = mean |W|``; both follow the latents W.

    Means run over unmasked entries. ``sign(0) = +1`` here as everywhere in this library; the paper takes -1. Latents
    are held in units of their initial mean magnitude, so that one learning rate fits all formats. The paper's 8-bit
    activations and layer normalisation are options of the network (``Unrolled(activations=...)``).

    Bits: ``m n + 16`` per matrix.

    Source: Wang et al., "BitNet: scaling 1-bit transformers for large language models", arXiv 2310.11453, section 2.1.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = BitNet.from_matrix(jnp.array([[4.0, -1.0], [1.0, 2.0]]))  # mean 1.5, mean magnitude 2
        >>> weights.dense().tolist(), weights.bits()
        ([[[2.0, -2.0], [-2.0, 2.0]]], 20)
    """

    format_type = BitNetFormat
    format: BitNetFormat

    def __init__(
        self, latents: Array, unit: Float[Array, " copies"], structure: Structure, surrogate: Surrogate | None = None
    ) -> None:
        """``latents`` (copies, *core) in units of ``unit``."""
        self._adopt(BitNetFormat(structure, latents.shape[0]))
        self.surrogate = identity() if surrogate is None else surrogate
        self.latents = binary(latents)
        self.unit = Statistic(jnp.asarray(unit, jnp.float32))

    @classmethod
    def from_matrix(
        cls, matrix: Any, mask: Any = None, *, copies: int = 1, surrogate: Surrogate | None = None
    ) -> BitNet:
        """From ``(m, n)`` (repeated) or ``(copies, m, n)``; raises ``ValueError`` for wrong shapes or NaN."""
        cores, structure = core_stack(matrix, as_structure(mask), copies)
        unit = jnp.maximum(mean_of(jnp.abs(cores), structure), _SMALLEST)
        return cls(cores / per_copy(unit, cores), unit, structure, surrogate)

    def options(self) -> dict[str, Any]:
        return {"surrogate": self.surrogate}

    def unquantised(self) -> Weights:
        return with_magnitude(self.latents[...], per_copy(self._scale(), self.latents[...]), self.structure)

    def _scale(self) -> Float[Array, " copies"]:
        """beta, without a gradient."""
        size = mean_of(jnp.abs(self.latents[...] * existing(self.structure)), self.structure)
        return jax.lax.stop_gradient(jnp.maximum(self.unit[...] * size, _SMALLEST))

    def _centred(self) -> Array:
        """``W - alpha``; alpha without a gradient."""
        latents = self.latents[...]
        mean = mean_of(latents * existing(self.structure), self.structure)
        return latents - jax.lax.stop_gradient(per_copy(mean, latents))

    def prepare(self) -> tuple[Array, Array]:
        return self._centred(), self._scale()

    def matrix(self, parameters: tuple[Array, Array]) -> LinearOperator:
        centred, scale = parameters
        return self.structured(scale * binarise(centred, self.surrogate))

    def values(self) -> dict[str, Array]:
        return {"signs": self._centred(), "scale": self._scale()}

    def round_scales(self) -> None:
        exact = self._scale()
        self.unit[...] = self.unit[...] * (exact.astype(HALF).astype(jnp.float32) / exact)

    @classmethod
    def _from_values(cls, format: BitNetFormat, values: Arrays, surrogate: Surrogate) -> BitNet:
        return cls(jnp.asarray(values["signs"]), jnp.asarray(values["scale"]), format.structure, surrogate)
