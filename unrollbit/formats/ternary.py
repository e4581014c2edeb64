"""BitNet b1.58's ternary matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.formats.cores import masked, per_copy
from unrollbit.formats.mean_scaled import MeanScaled
from unrollbit.formats.representation import Values
from unrollbit.formats.scales import Floats
from unrollbit.formats.stored import Stored, Trits
from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Structure
from unrollbit.trits import PerByte


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

    The mean runs over unmasked entries; |w| < gamma / 2 becomes 0. The released code keeps gamma above 1e-5, here it
    is only kept positive: a physical unit must not decide. Latents are held in units of their initial mean magnitude.
    The paper's 8-bit activations are an option of the network (``Unrolled(activations=...)``).

    Bits in a file: ``1.6 m n + 32`` per matrix (``per_byte=5``), or ``2 m n + 32`` (``per_byte=4``); entropy <= 1.585.
    A loaded network keeps ``2 m n + 32``: two sign planes of half the scale, multiplied as those of ``OneBit``.

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

    def __post_init__(self) -> None:
        if type(self.per_byte) is not int or self.per_byte not in (4, 5):
            raise ValueError(
                f"per_byte: expected 5 weights a byte (1.6 bits each) or 4 (2 bits), got {self.per_byte!r}"
            )

    @property
    def description(self) -> str:
        return f"ternary, {8 / self.per_byte:g} bits each, one scale per matrix (BitNet b1.58)"

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"trits": Trits((copies,), structure, self.per_byte), "scale": Floats((copies,), positive=True)}

    def restored(self, stored: Mapping[str, np.ndarray], structure: Structure) -> Values:
        """Latents of mean magnitude about 1: the weights over the share of those that are not 0, in steps so coarse
        that float32 adds them without rounding; what the mean is off by is in the unit.
        """
        trits = stored["trits"]
        axes, size = tuple(range(1, trits.ndim)), structure.size
        count = np.abs(trits).sum(axes, keepdims=True, dtype=np.float64)
        step = 2.0 ** min(np.ceil(np.log2(size)) - 23, -8)  # sums up to 2 size are whole multiples of it below 2^24
        latents = trits * np.round(size / np.maximum(count, 1) / step) * step
        mean = np.abs(latents).sum(axes, dtype=np.float64) / size
        return {"latents": latents, "unit": stored["scale"] / np.where(mean > 0, mean, 1.0)}

    def parameters(self, values: Values, structure: Structure) -> tuple[Array, Array, Array]:
        """Latents, gamma in units of ``unit``, and the unit."""
        return values["latents"], self.size(values["latents"], structure), values["unit"]

    def trained(self, parameters: tuple[Array, Array, Array], structure: Structure) -> LinearOperator:
        latents, threshold, unit = parameters
        return masked(unit * threshold * ternarise(latents / threshold), structure)

    def values(self, values: Values, structure: Structure) -> Values:
        latents, threshold, _ = self.parameters(values, structure)
        trits = ternarise(latents / per_copy(threshold, latents))
        return {"trits": trits, "scale": self.scale(values, structure)}

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        half = jnp.broadcast_to(arrays["scale"] / 2, (2,))
        return PackedSigns(arrays["trits"], half, None, structure, "layer")
