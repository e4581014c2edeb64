"""One-bit matrices: signs times scales, in one or several planes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Structure
from unrollbit.variables import ScaleParam
from unrollbit.weights.base import Arrays, Weights, as_structure, core_stack
from unrollbit.weights.format import Format
from unrollbit.weights.quantised import Quantised, binary, with_magnitude
from unrollbit.weights.scales import SCALES, Scale, mean_magnitude, scale_shape, spread
from unrollbit.weights.stored import Floats, Signs, Stored
from unrollbit.weights.surrogates import Surrogate, binarise, identity

LARGEST_LOG = 88.0  # exp of more leaves float32


@dataclass(frozen=True)
class OneBitFormat(Format):
    """``planes`` sign planes per matrix, with scales of one granularity held as float32 logarithms."""

    name: ClassVar[str] = "OneBit"
    planes: int
    scale: Scale

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = type(self.planes) is not int or self.planes < 1
        if not isinstance(self.scale, str) or self.scale not in SCALES or wrong:
            raise ValueError(
                f"OneBit: wrong scale {self.scale!r} or planes {self.planes!r}; expected a scale among {SCALES} and at "
                "least one plane"
            )

    @property
    def description(self) -> str:
        scale = "no scale" if self.scale == "none" else f"{self.scale} scale"
        return f"one-bit, {self.planes} sign plane{'s' * (self.planes > 1)}, {scale}"

    def stored(self) -> dict[str, Stored]:
        signs: dict[str, Stored] = {"signs": Signs((self.copies, self.planes), self.structure)}
        shape = scale_shape(self.scale, self.copies, self.planes, self.structure)
        return signs if shape is None else {**signs, "log_scales": Floats(shape, largest=LARGEST_LOG)}

    def stacked(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        logs = arrays.get("log_scales")
        return {"signs": arrays["signs"], "scales": self.scales(None if logs is None else logs)}

    def scales(self, logs: Array | None) -> Array:
        """Scales with leading axes (copies, planes)."""
        lead = (self.copies, self.planes)
        if logs is None:
            return jnp.ones(lead, jnp.float32)
        scales = jnp.exp(logs)
        return jnp.broadcast_to(scales, lead) if self.scale == "global" else scales

    def operator(self, arrays: Mapping[str, Array], exists: Array | None) -> LinearOperator:
        return PackedSigns(arrays["signs"], arrays["scales"], exists, self.structure, self.scale)


class OneBit(Quantised):
    """``W = sum_p c_p * (M o sign(V_p))`` with learned latents V_p (one-bit in use) and learned positive scales c_p.

    The scale is one number for the whole stack (``global``), per matrix (``layer``), per measurement (``row``), per
    unknown (``column``) or 1 (``none``). Masked entries do not exist; ``sign(0) = +1``. Scales are held as logarithms:
    training changes them by factors.

    Source: one-bit unrolling (arXiv 2502.01908); the residual planes follow Guo et al. 2017 (network sketching).

    Example:
        >>> import jax.numpy as jnp
        >>> weights = OneBit.from_matrix(jnp.array([[3.0, -1.0], [2.0, 2.0]]))
        >>> weights.dense().round(4).tolist(), weights.bits()
        ([[[2.0, -2.0], [2.0, 2.0]]], 36)
    """

    format_type = OneBitFormat
    format: OneBitFormat

    def __init__(
        self,
        latents: Array,
        scales: Array | None,
        structure: Structure,
        scale: Scale,
        surrogate: Surrogate | None = None,
    ) -> None:
        """``latents`` (copies, planes, *core), ``scales`` positive, in the shape of ``scale_shape``."""
        copies, planes = latents.shape[:2]
        self._adopt(OneBitFormat(structure, copies, planes, scale))
        self.surrogate = identity() if surrogate is None else surrogate
        self.latents = binary(latents)
        shape = scale_shape(scale, copies, planes, structure)
        if shape is None:
            self.log_scales = None
        else:
            self.log_scales = ScaleParam(jnp.log(jnp.broadcast_to(jnp.asarray(scales, jnp.float32), shape)))

    @property
    def planes(self) -> int:
        """Number of sign planes."""
        return self.format.planes

    @property
    def scale(self) -> Scale:
        """Granularity of the scales."""
        return self.format.scale

    @classmethod
    def from_matrix(
        cls,
        matrix: Any,
        mask: Any = None,
        *,
        copies: int = 1,
        scale: Scale = "layer",
        planes: int = 1,
        surrogate: Surrogate | None = None,
    ) -> OneBit:
        """Best signs and scales of a matrix, plane after plane: ``S = sign(R)``, ``c = mean |R|``, ``R <- R - c S``.

        Means run over unmasked entries (of the stack, matrix, row or column), which minimises the Frobenius error of
        one plane (XNOR-Net, Rastegari et al. 2016). Latents are R over its mean magnitude.

        Raises:
            ValueError: wrong shapes, non-finite entries, an unknown scale, or fewer than one plane.
        """
        if scale not in SCALES:
            raise ValueError(f"scale: expected one of {SCALES}, got {scale!r}")
        if planes < 1:
            raise ValueError(f"planes: expected at least 1, got {planes}")
        residual, structure = core_stack(matrix, as_structure(mask), copies)
        latents, scales = [], []
        for _ in range(planes):
            size = mean_magnitude(residual, structure, scale)
            signs = jnp.where(residual >= 0, 1.0, -1.0)
            mean = jnp.sum(jnp.abs(residual)) / (copies * structure.size)
            latents.append(residual / jnp.maximum(mean, 1e-30))
            scales.append(size)
            residual = residual - spread(size, scale, structure) * signs
            exists = structure.core_mask
            residual = residual if exists is None else residual * exists
        stacked = None if scale == "none" else jnp.stack(scales, axis=0 if scale == "global" else 1)
        return cls(jnp.stack(latents, axis=1), stacked, structure, scale, surrogate)

    def options(self) -> dict[str, Any]:
        return {"scale": self.scale, "planes": self.planes, "surrogate": self.surrogate}

    def unquantised(self) -> Weights:
        """The matrices that the first plane's latents stand for: their mean magnitude is that of the scales."""
        scales = spread(self.scales()[:, 0], self.scale, self.structure)
        return with_magnitude(self.latents[...][:, 0], scales, self.structure)

    def scales(self) -> Array:
        """Scales with leading axes (copies, planes)."""
        return self.format.scales(None if self.log_scales is None else self.log_scales[...])

    def prepare(self) -> tuple[Array, Array]:
        return self.latents[...], self.scales()

    def matrix(self, parameters: tuple[Array, Array]) -> LinearOperator:
        latents, scales = parameters
        core = jnp.zeros((), latents.dtype)
        for plane in range(self.planes):  # a sum over a stacked axis is several times slower
            core = core + spread(scales[plane], self.scale, self.structure) * binarise(latents[plane], self.surrogate)
        return self.structured(core)

    def values(self) -> dict[str, Array]:
        signs = {"signs": self.latents[...]}
        return signs if self.log_scales is None else {**signs, "log_scales": self.log_scales[...]}

    @classmethod
    def _from_values(cls, format: OneBitFormat, values: Arrays, surrogate: Surrogate) -> OneBit:
        logs = values.get("log_scales")
        ones = None if logs is None else jnp.ones(logs.shape)
        weights = cls(jnp.asarray(values["signs"]), ones, format.structure, format.scale, surrogate)
        if weights.log_scales is not None:
            weights.log_scales[...] = jnp.asarray(logs)  # bit for bit: exp and log would round
        return weights
