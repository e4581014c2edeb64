"""BitNet's one-bit matrices: signs about the mean, times the mean magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.formats.cores import existing, masked, mean_of, per_copy
from unrollbit.formats.mean_scaled import MeanScaled
from unrollbit.formats.representation import Values
from unrollbit.formats.scales import Floats
from unrollbit.formats.stored import HALF, Signs, Stored
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Structure


@dataclass(frozen=True)
class BitNet(MeanScaled):
    """``W_hat = beta sign(W - alpha)`` with ``alpha = mean(W)`` and ``beta = mean |W|``; both follow the latents W.

    Means run over unmasked entries. ``sign(0) = +1`` here as everywhere in this library; the paper takes -1. Latents
    are held in units of their initial mean magnitude, so that one learning rate fits all formats. The paper's 8-bit
    activations and layer normalisation are options of the network (``Unrolled(activations=...)``).

    Bits: ``m n + 16`` per matrix.

    Source: Wang et al., "BitNet: scaling 1-bit transformers for large language models", arXiv 2310.11453, section 2.1.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = BitNet().from_matrix(jnp.array([[4.0, -1.0], [1.0, 2.0]]))  # mean 1.5, mean magnitude 2
        >>> weights.dense().tolist(), weights.bits()
        ([[[2.0, -2.0], [-2.0, 2.0]]], 20)
    """

    surrogate: Surrogate = Identity()

    @property
    def description(self) -> str:
        return "one-bit about the mean, one scale per matrix (BitNet)"

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"signs": Signs((copies,), structure), "scale": Floats((copies,), HALF, positive=True)}

    def restored(self, stored: Values, structure: Structure) -> Values:
        return {"latents": stored["signs"], "unit": stored["scale"]}

    def parameters(self, values: Values, structure: Structure) -> tuple[Array, Array]:
        """``W - alpha`` in units of ``unit``, and beta; alpha and beta without a gradient."""
        latents = values["latents"]
        mean = mean_of(latents * existing(structure), structure)
        return latents - jax.lax.stop_gradient(per_copy(mean, latents)), self.scale(values, structure)

    def trained(self, parameters: tuple[Array, Array], structure: Structure) -> LinearOperator:
        centred, scale = parameters
        return masked(scale * binarise(centred, self.surrogate), structure)

    def values(self, values: Values, structure: Structure) -> Values:
        centred, scale = self.parameters(values, structure)
        return {"signs": centred, "scale": scale}

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        scale = arrays["scale"].astype(jnp.float32)[None]
        return PackedSigns(arrays["signs"][None], scale, exists, structure, "layer")
