"""BitNet b1.58's ternary matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_ternary import PackedTernary
from unrollbit.structures import Structure
from unrollbit.trits import PerByte
from unrollbit.variables import Statistic
from unrollbit.weights.base import Arrays, Weights, as_structure, core_stack
from unrollbit.weights.format import Format
from unrollbit.weights.quantised import Quantised, binary, existing, mean_of, per_copy, with_magnitude
from unrollbit.weights.stored import Floats, Stored, Trits
from unrollbit.weights.surrogates import Identity, Surrogate, identity

_SMALLEST = 1e-30  # of a scale, for a matrix of zeros


@dataclass(frozen=True)
class TernaryFormat(Format):
    """Weights in {-1, 0, 1}, ``per_byte`` of them a byte, and one float32 scale per matrix."""

    name: ClassVar[str] = "Ternary"
    needs_mask: ClassVar[bool] = False  # what it forbids is zero
    per_byte: PerByte = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if type(self.per_byte) is not int or self.per_byte not in (4, 5):
            raise ValueError(
                f"per_byte: expected 5 weights a byte (1.6 bits each) or 4 (2 bits), got {self.per_byte!r}"
            )

    @property
    def description(self) -> str:
        return f"ternary, {8 / self.per_byte:g} bits each, one scale per matrix (BitNet b1.58)"

    def stored(self) -> dict[str, Stored]:
        return {
            "trits": Trits((self.copies,), self.structure, self.per_byte),
            "scale": Floats((self.copies,), positive=True),
        }

    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        del exists
        trits, scale = arrays["trits"][None], arrays["scale"][None]
        return PackedTernary(trits, scale, None, self.structure, "layer", self.per_byte)


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


class Ternary(Quantised):
    """``W_hat = gamma clip(round(W / gamma), -1, 1)``, ``gamma = mean |W|`` per matrix, which follows the latents W.

    The mean runs over unmasked entries; |w| < gamma / 2 becomes 0. The released code keeps gamma above 1e-5, here it
    is only kept positive: a physical unit must not decide. Latents are held in units of their initial mean magnitude.
    The paper's 8-bit activations are an option of the network (``Unrolled(activations=...)``).

    Bits: ``1.6 m n + 32`` per matrix (``per_byte=5``), or ``2 m n + 32`` (``per_byte=4``); entropy <= 1.585.

    Source: Ma et al., "The era of 1-bit LLMs: all large language models are in 1.58 bits", arXiv 2402.17764, eqs. 1-3.

    Example:
        >>> import jax.numpy as jnp
        >>> weights = Ternary.from_matrix(jnp.array([[3.0, 0.5], [0.4, -2.1]]))  # mean magnitude 1.5
        >>> weights.dense().tolist(), weights.bits()
        ([[[1.5, 0.0], [0.0, -1.5]]], 39)
    """

    format_type = TernaryFormat
    format: TernaryFormat

    def __init__(
        self, latents: Array, unit: Float[Array, " copies"], structure: Structure, per_byte: PerByte = 5
    ) -> None:
        """``latents`` (copies, *core) in units of ``unit``."""
        self._adopt(TernaryFormat(structure, latents.shape[0], per_byte))
        self.surrogate = identity()
        self.latents = binary(latents)
        self.unit = Statistic(jnp.asarray(unit, jnp.float32))

    @classmethod
    def from_matrix(cls, matrix: Any, mask: Any = None, *, copies: int = 1, per_byte: PerByte = 5) -> Ternary:
        """From ``(m, n)`` (repeated) or ``(copies, m, n)``.

        Raises ``ValueError`` for wrong shapes, NaN, or a ``per_byte`` other than 5 and 4.
        """
        cores, structure = core_stack(matrix, as_structure(mask), copies)
        unit = jnp.maximum(mean_of(jnp.abs(cores), structure), _SMALLEST)
        return cls(cores / per_copy(unit, cores), unit, structure, per_byte)

    def options(self) -> dict[str, Any]:
        return {"per_byte": self.format.per_byte}

    def unquantised(self) -> Weights:
        size = self.unit[...] * self._threshold()
        return with_magnitude(self.latents[...], per_copy(size, self.latents[...]), self.structure)

    def _threshold(self) -> Float[Array, " copies"]:
        """gamma in units of ``unit``, without a gradient."""
        size = mean_of(jnp.abs(self.latents[...] * existing(self.structure)), self.structure)
        return jax.lax.stop_gradient(jnp.maximum(size, _SMALLEST))

    def prepare(self) -> tuple[Array, Array, Array]:
        return self.latents[...], self._threshold(), self.unit[...]

    def matrix(self, parameters: tuple[Array, Array, Array]) -> LinearOperator:
        latents, threshold, unit = parameters
        return self.structured(unit * threshold * ternarise(latents / threshold))

    def values(self) -> dict[str, Array]:
        threshold = self._threshold()
        trits = ternarise(self.latents[...] / per_copy(threshold, self.latents[...]))
        return {"trits": trits, "scale": jnp.maximum(self.unit[...] * threshold, _SMALLEST)}

    @classmethod
    def _from_values(cls, format: TernaryFormat, values: Arrays, surrogate: Surrogate) -> Ternary:
        """Latents of mean magnitude about 1: the weights over the share of those that are not 0, in steps so coarse
        that float32 adds them without rounding; what the mean is off by is in the unit.
        """
        if not isinstance(surrogate, Identity):
            raise ValueError(f"Ternary: the gradient is straight through; got the surrogate {surrogate}")
        trits = values["trits"]
        axes = tuple(range(1, trits.ndim))
        size = format.structure.size
        count = np.abs(trits).sum(axes, keepdims=True, dtype=np.float64)
        step = 2.0 ** min(np.ceil(np.log2(size)) - 23, -8)  # sums up to 2 size are whole multiples of it below 2^24
        latents = trits * np.round(size / np.maximum(count, 1) / step) * step
        mean = np.abs(latents).sum(axes, dtype=np.float64) / size
        unit = jnp.asarray(values["scale"] / np.where(mean > 0, mean, 1.0), jnp.float32)
        return cls(jnp.asarray(latents, jnp.float32), unit, format.structure, format.per_byte)
