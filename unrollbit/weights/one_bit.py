"""One-bit matrices: signs times scales, in one or several planes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator, Structure
from unrollbit.operators.structured import Structured
from unrollbit.signbits import pack_signs, unpack_signs
from unrollbit.variables import BinaryParam, ScaleParam
from unrollbit.weights.base import Arrays, PackedWeights, Weights, as_structure, core_stack, required, stored_structure
from unrollbit.weights.frozen import FrozenOneBit
from unrollbit.weights.full_precision import FullPrecision
from unrollbit.weights.planes import SignPlanes
from unrollbit.weights.scales import SCALES, Scale, mean_magnitude, scale_shape, spread
from unrollbit.weights.surrogates import Surrogate, binarise, identity

_LARGEST_LOG = 88.0  # exp of more leaves float32


class OneBit(SignPlanes):
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

    def __init__(
        self,
        latents: Array,
        scales: Array | None,
        structure: Structure,
        scale: Scale,
        surrogate: Surrogate | None = None,
    ) -> None:
        """``latents`` (copies, planes, *core), ``scales`` positive, in the shape of ``scale_shape``."""
        self.structure = structure
        self.copies, self.planes = latents.shape[:2]
        self.scale: Scale = scale
        self.surrogate = identity() if surrogate is None else surrogate
        self.latents = BinaryParam(jnp.asarray(latents, jnp.float32))
        shape = scale_shape(scale, self.copies, self.planes, structure)
        if shape is None:
            self.log_scales = None
        else:
            self.log_scales = ScaleParam(jnp.log(jnp.broadcast_to(jnp.asarray(scales, jnp.float32), shape)))

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

    @classmethod
    def for_map(cls, linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> OneBit:
        return cls.from_matrix(linear_map.initial.dense(), linear_map.structure, copies=copies, **options)

    def rebuild(self, matrices: Array) -> Weights:
        options = {"scale": self.scale, "planes": self.planes, "surrogate": self.surrogate}
        return OneBit.from_matrix(matrices, self.structure, copies=matrices.shape[0], **options)

    def unquantised(self) -> Weights:
        """The matrices that the first plane's latents stand for: their mean magnitude is that of the scales."""
        exists = self.structure.core_mask
        there = jnp.ones(self.structure.core_shape) if exists is None else jnp.asarray(exists, jnp.float32)
        latents = self.latents[...][:, 0] * there
        axes = tuple(range(1, latents.ndim))
        scales = spread(self._scales()[:, 0], self.scale, self.structure) * there
        factor = scales.sum(axes, keepdims=True) / jnp.maximum(jnp.abs(latents).sum(axes, keepdims=True), 1e-30)
        return FullPrecision(latents * factor, self.structure)

    def prepare(self) -> tuple[Array, Array]:
        return self.latents[...], self._scales()

    def matrix(self, parameters: tuple[Array, Array]) -> LinearOperator:
        latents, scales = parameters
        core = jnp.zeros((), latents.dtype)
        for plane in range(self.planes):  # a sum over a stacked axis is several times slower
            core = core + spread(scales[plane], self.scale, self.structure) * binarise(latents[plane], self.surrogate)
        exists = self.structure.core_mask
        return Structured(core if exists is None else core * exists, self.structure)

    def pack(self) -> PackedWeights:
        """``signs``: rows of the core as packed bits; with a mask, the existing entries of each plane in one row."""
        exists = self.structure.core_mask
        latents = np.asarray(self.latents[...])
        arrays = {"signs": pack_signs(latents if exists is None else latents[:, :, exists])}
        if self.log_scales is not None:
            arrays["log_scales"] = np.asarray(self.log_scales[...])
        fields = {"copies": self.copies, "planes": self.planes, "scale": self.scale}
        spec = {
            "kind": "OneBit",
            **fields,
            "structure": self.structure.to_spec(),
            "surrogate": self.surrogate.to_spec(),
        }
        return PackedWeights(spec, arrays)

    @classmethod
    def _unpack(
        cls, spec: dict[str, Any], arrays: Arrays, linear_map: LinearMap, physics: LinearOperator, frozen: bool
    ) -> Weights:
        structure, scale = stored_structure(spec, linear_map), spec["scale"]
        copies, planes = int(spec["copies"]), int(spec["planes"])
        if scale not in SCALES or copies < 1 or planes < 1:
            raise ValueError(f"OneBit: wrong scale {scale!r}, copies {copies} or planes {planes}")
        exists = structure.core_mask
        rows = structure.core_shape if exists is None else (structure.size,)
        shape = (copies, planes, *rows[:-1], -(-rows[-1] // 8))
        signs = required(arrays, "signs", shape, np.uint8)
        log_scales = scale_shape(scale, copies, planes, structure)
        if log_scales is not None:
            log_scales = required(arrays, "log_scales", log_scales, np.float32)
            if (log_scales > _LARGEST_LOG).any():
                raise ValueError(f"array 'log_scales': {log_scales.max()} is too large for a float32 scale")
        if frozen:
            return FrozenOneBit(signs, log_scales, structure, scale)
        latents = unpack_signs(jnp.asarray(signs), rows[-1])
        if exists is not None:
            latents = jnp.zeros((copies, planes, *structure.core_shape)).at[:, :, exists].set(latents)
        scales = None if log_scales is None else jnp.ones(log_scales.shape)
        weights = cls(latents, scales, structure, scale, Surrogate.from_spec(spec["surrogate"]))
        if weights.log_scales is not None:
            weights.log_scales[...] = jnp.asarray(log_scales)  # bit for bit: exp and log would round
        return weights
