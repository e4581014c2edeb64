"""BitNet's matrices, one-bit and ternary: one scale per matrix, which follows the mean magnitude of the latents."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.arrays import over
from unrollbit.formats.cores import mean_of, with_magnitude
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import HALF, TINY, Floats, Signs, Stored, Trits
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import masked
from unrollbit.packed_operators.packed_signs import PackedSigns, spread
from unrollbit.structures import Structure
from unrollbit.trits import PerByte
from unrollbit.variables import Statistic


class MeanScaled(Representation, abstract=True):
    """Latents are held in units of their initial mean magnitude, so that one learning rate fits all formats. The unit
    takes part in training without a gradient: a physical unit must not decide. Means run over unmasked entries.
    """

    def trains(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"latents": Signs((copies,), structure), "unit": Floats((copies,), param=Statistic)}

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def start(self, cores: Array, structure: Structure) -> Values:
        unit = mean_of(jnp.abs(cores), structure)
        return {"latents": over(cores, spread(unit, "layer", structure)), "unit": jnp.maximum(unit, TINY)}

    def size(self, latents: Array, structure: Structure) -> Float[Array, " copies"]:
        """Mean magnitude of the latents, without a gradient."""
        size = mean_of(jnp.abs(latents * structure.existing), structure)
        return jax.lax.stop_gradient(jnp.maximum(size, TINY))

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def scale(self, values: Values, structure: Structure) -> Float[Array, " copies"]:
        """``mean |W|`` of each matrix."""
        return jnp.maximum(values["unit"] * self.size(values["latents"], structure), TINY)


@dataclass(frozen=True)
class BitNet(MeanScaled):
    """``W_hat = beta sign(W - alpha)`` with ``alpha = mean(W)`` and ``beta = mean |W|``; both follow the latents W.

    Means run over unmasked entries. ``sign(0) = +1`` here as everywhere in this library; the paper takes -1. Its 8-bit
    activations and layer normalisation are options of the network (``Unrolled(activations=...)``).

    Bits: ``m n + 16`` per matrix.

    Source: Wang et al., "BitNet: scaling 1-bit transformers for large language models", arXiv 2310.11453, section 2.1.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = BitNet().from_matrix(jnp.array([[4.0, -1.0], [1.0, 2.0]]))  # mean 1.5, mean magnitude 2
        >>> weights.dense().tolist(), weights.bits()
        ([[[2.0, -2.0], [-2.0, 2.0]]], 20)
    """

    words: ClassVar[str] = "one-bit about the mean, one scale per matrix (BitNet)"
    surrogate: Surrogate = Identity()

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"signs": Signs((copies,), structure), "scale": Floats((copies,), HALF, positive=True)}

    def from_stored(self, values: Values, structure: Structure) -> Values:
        return {"latents": values["signs"], "unit": values["scale"]}

    def to_stored(self, values: Values, structure: Structure) -> Values:
        """``W - alpha`` in units of ``unit``, and beta; alpha and beta without a gradient."""
        latents = values["latents"]
        mean = mean_of(latents * structure.existing, structure)
        centred = latents - jax.lax.stop_gradient(spread(mean, "layer", structure))
        return {"signs": centred, "scale": self.scale(values, structure)}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        return masked(parameters["scale"] * binarise(parameters["signs"], self.surrogate), structure)

    def round(self, weights: Weights) -> None:
        """The unit changes so that the scale is one that a file can hold."""
        exact, unit = self.scale(self.held(weights), weights.structure), weights.variables["unit"]
        unit[...] = unit[...] * (exact.astype(HALF).astype(jnp.float32) / exact)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        scale = arrays["scale"].astype(jnp.float32)[None]
        return PackedSigns(arrays["signs"][None], scale, exists, structure, "layer")


@jax.custom_jvp
def ternarise(w: Float[Array, "..."]) -> Float[Array, "..."]:
    """``clip(round(w), -1, 1)``, halves to even; the derivative is 1 everywhere (straight through, no clip mask).

    Example:
        >>> import jax.numpy as jnp
        >>> ternarise(jnp.array([-3.0, -0.6, 0.5, 0.51])).tolist()
        [-1.0, -1.0, 0.0, 1.0]
    """
    return jnp.clip(jnp.round(w), -1.0, 1.0)


@ternarise.defjvp
def _ternarise_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return ternarise(primals[0]), tangents[0]


@dataclass(frozen=True)
class Ternary(MeanScaled):
    """``W_hat = gamma clip(round(W / gamma), -1, 1)``, ``gamma = mean |W|`` per matrix, which follows the latents W.

    The mean runs over unmasked entries; |w| < gamma / 2 becomes 0. The released code keeps gamma above 1e-5; here it is
    only kept positive. The paper's 8-bit activations are an option of the network (``Unrolled(activations=...)``).

    Bits in a file: ``1.6 m n + 32`` per matrix (``per_byte=5``), or ``2 m n + 32`` (``per_byte=4``); entropy <= 1.585.
    A loaded network keeps ``2 m n + 32``: two sign planes of half the scale, multiplied as those of ``OneBit``. At
    a zero they cancel, to the rounding of the largest input.

    Source: Ma et al., "The era of 1-bit LLMs: all large language models are in 1.58 bits", arXiv 2402.17764, eqs. 1-3.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = Ternary().from_matrix(jnp.array([[3.0, 0.5], [0.4, -2.1]]))  # mean magnitude 1.5
        >>> weights.dense().tolist(), weights.bits()
        ([[[1.5, 0.0], [0.0, -1.5]]], 39)
    """

    needs_mask: ClassVar[bool] = False  # what it forbids is zero
    signed: ClassVar[bool] = False  # zeros are no signs
    per_byte: PerByte = 5

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return (f"ternary, {8 / self.per_byte:g} bits each, one scale per matrix (BitNet b1.58)",)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        trits = Trits((copies,), structure, per_item=self.per_byte)
        return {"trits": trits, "scale": Floats((copies,), positive=True)}

    def from_stored(self, values: Values, structure: Structure) -> Values:
        """Latents of mean magnitude about 1: the weights over the share of those that are not 0, in steps so coarse
        that float32 adds them without rounding; what the mean is off by is in the unit.
        """
        trits = values["trits"]
        axes, size = tuple(range(1, trits.ndim)), structure.size
        count = np.abs(trits).sum(axes, keepdims=True, dtype=np.float64)
        step = 2.0 ** min(np.ceil(np.log2(size)) - 23, -8)  # sums up to 2 size are whole multiples of it below 2^24
        latents = trits * np.round(size / np.maximum(count, 1) / step) * step
        mean = np.abs(latents).sum(axes, dtype=np.float64) / size
        return {"latents": latents, "unit": values["scale"] / np.where(mean > 0, mean, 1.0)}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        return masked(parameters["scale"] * parameters["trits"], structure)

    def to_stored(self, values: Values, structure: Structure) -> Values:
        latents = values["latents"]
        trits = ternarise(latents / spread(self.size(latents, structure), "layer", structure))
        return {"trits": trits, "scale": self.scale(values, structure)}

    def floats(self, values: Values, structure: Structure) -> Array:
        latents = values["latents"]
        return with_magnitude(latents, spread(self.scale(values, structure), "layer", structure), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        half = jnp.broadcast_to(arrays["scale"] / 2, (2,))
        return PackedSigns(arrays["trits"], half, None, structure, "layer")
