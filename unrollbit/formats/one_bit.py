"""One-bit matrices: signs times scales, in one or several planes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.formats.cores import masked, over, with_magnitude
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.scales import Floats, mean_magnitude, scale_shape, spread
from unrollbit.formats.stored import TINY, Signs, Stored
from unrollbit.formats.surrogates import Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns, Scale
from unrollbit.scalars import LARGEST_LOG
from unrollbit.structures import Structure


@dataclass(frozen=True)
class OneBit(Representation):
    """``W = sum_p c_p (M o sign(V_p))`` with learned latents V_p (one-bit in use) and learned positive scales c_p.

    Planes are the best ones of a matrix, one after the other: ``S = sign(R)``, ``c = mean |R|``, ``R <- R - c S``. The
    mean runs over unmasked entries, which minimises the Frobenius error of each plane. Latents are R over its mean.
    Masked entries do not exist; ``sign(0) = +1``. Scales are held as logarithms: training changes them by factors.

    Args:
        planes: number of sign planes.
        scale: one number for all matrices (``global``), each matrix (``layer``), each measurement (``row``), each
            unknown (``column``), or 1 (``none``).
        surrogate: pseudo-gradient of the signs.

    Raises:
        ValueError: an unknown scale, or fewer than one plane.

    Bits: ``planes m n`` per matrix, and 32 a scale.

    Sources: one-bit unrolling (arXiv 2502.01908); scales: XNOR-Net (Rastegari et al. 2016); planes: network sketching
    (Guo et al. 2017).

    Example:
        >>> import jax.numpy as jnp
        >>> weights = OneBit().from_matrix(jnp.array([[3.0, -1.0], [2.0, 2.0]]))
        >>> weights.dense().round(4).tolist(), weights.bits()
        ([[[2.0, -2.0], [2.0, 2.0]]], 36)
    """

    planes: int = 1
    scale: Scale = "layer"
    surrogate: Surrogate = Identity()

    def __post_init__(self) -> None:
        if self.planes < 1:
            raise ValueError(f"OneBit: expected planes >= 1, got {self.planes!r}")

    @property
    def description(self) -> str:
        scale = "no scale" if self.scale == "none" else f"{self.scale} scale"
        return f"one-bit, {self.planes} sign plane{'s' * (self.planes > 1)}, {scale}"

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        signs: dict[str, Stored] = {"signs": Signs((copies, self.planes), structure)}
        shape = scale_shape(self.scale, copies, self.planes, structure)
        return signs if shape is None else {**signs, "log_scales": Floats(shape, largest=LARGEST_LOG)}

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def start(self, cores: Array, structure: Structure) -> Values:
        residual, exists = cores, structure.core_mask
        latents, scales = [], []
        for _ in range(self.planes):
            size = mean_magnitude(residual, structure, self.scale)
            mean = jnp.sum(jnp.abs(residual)) / (cores.shape[0] * structure.size)
            latents.append(over(residual, mean))
            scales.append(size)
            residual = residual - spread(size, self.scale, structure) * jnp.where(residual >= 0, 1.0, -1.0)
            residual = residual if exists is None else residual * exists
        stacked = jnp.stack(scales, axis=0 if self.scale == "global" else 1) if self.scale != "none" else None
        return self._values(jnp.stack(latents, axis=1), stacked, structure)

    def designed(self, latents: Array, scales: Float[Array, "copies planes"], structure: Structure) -> Weights:
        """Weights of given latents (copies, planes, *core_shape) and one positive scale per matrix and plane."""
        per_line = scales[..., None] if self.scale in ("row", "column") else scales
        lines = scales.mean(0) if self.scale == "global" else per_line
        return self.of(self._values(latents, lines, structure), structure, latents.shape[0])

    def _values(self, latents: Array, scales: Array | None, structure: Structure) -> Values:
        shape = scale_shape(self.scale, latents.shape[0], self.planes, structure)
        if shape is None:
            return {"signs": latents}
        scales = jnp.maximum(jnp.asarray(scales, jnp.float32), TINY)  # planes of nothing
        return {"signs": latents, "log_scales": jnp.log(jnp.broadcast_to(scales, shape))}

    def _scales(self, values: Values, copies: int) -> Array:
        """Scales with leading axes (copies, planes)."""
        lead = (copies, self.planes)
        if "log_scales" not in values:
            return jnp.ones(lead, jnp.float32)
        scales = jnp.exp(values["log_scales"])
        return jnp.broadcast_to(scales, lead) if self.scale == "global" else scales

    def parameters(self, values: Values, structure: Structure) -> tuple[Array, Array]:
        return values["signs"], self._scales(values, values["signs"].shape[0])

    def trained(self, parameters: tuple[Array, Array], structure: Structure) -> LinearOperator:
        latents, scales = parameters
        core = jnp.zeros((), latents.dtype)
        for plane in range(self.planes):  # a sum over a stacked axis is several times slower
            core = core + spread(scales[plane], self.scale, structure) * binarise(latents[plane], self.surrogate)
        return masked(core, structure)

    def floats(self, values: Values, structure: Structure) -> Array:
        """What the first plane's latents stand for: their mean magnitude is that of the scales."""
        latents, scales = self.parameters(values, structure)
        return with_magnitude(latents[:, 0], spread(scales[:, 0], self.scale, structure), structure)

    def stacked(self, arrays: Mapping[str, Array], copies: int) -> dict[str, Array]:
        return {"signs": arrays["signs"], "scales": self._scales(arrays, copies)}

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        return PackedSigns(arrays["signs"], arrays["scales"], exists, structure, self.scale)
