"""Matrices in sign planes: with learned scales, or with powers of two."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.arguments import integer
from unrollbit.formats.cores import mean_of, normalised_latents, with_magnitude
from unrollbit.formats.representation import Representation, Values
from unrollbit.formats.stored import TINY, Floats, Signs, Stored
from unrollbit.formats.surrogates import Clipped, Identity, Surrogate, binarise
from unrollbit.formats.weights import Weights
from unrollbit.operators import LinearOperator
from unrollbit.operators.structured import masked
from unrollbit.packed_operators.packed_signs import PackedSigns, Scale, spread
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
        integer("planes", self.planes, 1)

    def describe(self, weights: Weights) -> tuple[str, ...]:
        scale = "no scale" if self.scale == "none" else f"{self.scale} scale"
        return (f"one-bit, {self.planes} sign plane{'s' * (self.planes > 1)}, {scale}",)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        signs, shape = Signs((copies, self.planes), structure), self._shape(structure, copies)
        return {"signs": signs} if shape is None else {"signs": signs, "log_scales": Floats(shape, largest=LARGEST_LOG)}

    def _shape(self, structure: Structure, copies: int) -> tuple[int, ...] | None:
        """Shape of the stored scales, or None where there are none."""
        (m, n), lead = structure.shape, (copies, self.planes)
        shapes = {"none": None, "global": (self.planes,), "layer": lead, "row": (*lead, m), "column": (*lead, n)}
        return shapes[self.scale]

    def _mean_magnitude(self, core: Float[Array, "copies ..."], structure: Structure) -> Array:
        """Mean of ``|core|`` over the existing entries that share a scale; 1 where there are no scales."""
        size, lines = jnp.abs(core), {"row": structure.row_sum, "column": structure.column_sum}.get(self.scale)
        if self.scale == "none":
            return jnp.ones(())
        if lines is not None:
            mean = lines(size) / jnp.maximum(lines(structure.existing), 1.0)
        elif self.scale == "layer":
            mean = mean_of(size, structure)
        else:
            mean = size.sum() / (core.shape[0] * structure.size)
        return jnp.maximum(mean, TINY)  # an all-zero row or matrix keeps a scale whose logarithm exists

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def start(self, cores: Array, structure: Structure) -> Values:
        residual, latents, scales = cores, [], []
        for _ in range(self.planes):
            scales.append(self._mean_magnitude(residual, structure))
            latents.append(normalised_latents(residual, structure))
            residual = residual - spread(scales[-1], self.scale, structure) * jnp.where(residual >= 0, 1.0, -1.0)
            residual = residual * structure.existing
        return self._values(jnp.stack(latents, 1), jnp.stack(scales, 1 if scales[0].ndim else 0), structure)

    def designed(self, latents: Array, scales: Float[Array, "copies planes"], structure: Structure) -> Weights:
        """Weights of given latents (copies, planes, *core_shape) and one positive scale per matrix and plane."""
        per_line = scales[..., None] if self.scale in ("row", "column") else scales
        lines = scales.mean(0) if self.scale == "global" else per_line
        return self.of(self._values(latents, lines, structure), structure, latents.shape[0])

    def _values(self, latents: Array, scales: Array, structure: Structure) -> Values:
        shape = self._shape(structure, latents.shape[0])
        if shape is None:
            return {"signs": latents}
        scales = jnp.maximum(jnp.asarray(scales, jnp.float32), TINY)  # planes of nothing
        return {"signs": latents, "log_scales": jnp.log(jnp.broadcast_to(scales, shape))}

    def stacked(self, arrays: Values) -> Values:
        """Scales with leading axes (copies, planes)."""
        lead = arrays["signs"].shape[:2]
        scales = jnp.exp(arrays["log_scales"]) if "log_scales" in arrays else jnp.ones(lead, jnp.float32)
        return {"signs": arrays["signs"], "scales": jnp.broadcast_to(scales, lead) if scales.ndim == 1 else scales}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        latents, scales = parameters["signs"], parameters["scales"]
        core = jnp.zeros((), latents.dtype)
        for plane in range(self.planes):  # a sum over a stacked axis is several times slower
            core = core + spread(scales[plane], self.scale, structure) * binarise(latents[plane], self.surrogate)
        return masked(core, structure)

    def floats(self, values: Values, structure: Structure) -> Array:
        """What the first plane's latents stand for: their mean magnitude is that of the scales."""
        latents, scales = self.stacked(values).values()
        return with_magnitude(latents[:, 0], spread(scales[:, 0], self.scale, structure), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        return PackedSigns(arrays["signs"], arrays["scales"], exists, structure, self.scale)


@dataclass(frozen=True)
class Uniform(Representation):
    """``W = sum_p 2^-p B_p``, ``B_p = sign(2 V - sum_{q < p} 2^-q B_q)``, p = 0 ... P - 1: 2 V for latents V in
    [-1, 1], rounded to ``2^P`` levels at equal distances, without a scale. One plane is ``sign(V)``.

    For maps whose size does not matter, such as filters of unit norm (``UnitFilters``). All planes follow one latent,
    of mean magnitude 1/2 at the start.

    Args:
        planes: number P of sign planes.
        surrogate: pseudo-gradient of each sign.

    Raises:
        ValueError: fewer than one plane.

    Bits: ``planes`` an entry.

    Source: Hubara et al., "Quantized neural networks", JMLR 18 (2018), for straight-through uniform quantisers.

    Example:
        >>> import jax.numpy as jnp
        >>> Uniform(2).from_matrix(jnp.array([[9.0, -1.0]])).dense().tolist()
        [[[1.5, -0.5]]]
    """

    signed: ClassVar[bool] = False  # levels, of filters that start elsewhere than at the physics
    planes: int = 2
    surrogate: Surrogate = Clipped()

    def __post_init__(self) -> None:
        integer("planes", self.planes, 1)

    def describe(self, weights: Weights) -> tuple[str, ...]:
        return (f"uniform, {self.planes} sign plane{'s' * (self.planes > 1)}, no scale",)

    @property
    def scales(self) -> Array:
        """``2^-p``."""
        return jnp.asarray([2.0**-p for p in range(self.planes)], jnp.float32)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"signs": Signs((copies, self.planes), structure)}

    def trains(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"latents": Signs((copies,), structure)}

    def start(self, cores: Array, structure: Structure) -> Values:
        return {"latents": normalised_latents(cores, structure) / 2}

    def to_stored(self, values: Values, structure: Structure) -> Values:
        """What is left of the latents for each plane."""
        latents = values["latents"]
        total, rests = jnp.zeros_like(latents), []
        for plane in range(self.planes):
            rests.append(latents - jax.lax.stop_gradient(total) / 2)
            total = total + 2.0**-plane * binarise(rests[-1], self.surrogate)
        return {"signs": jnp.stack(rests, axis=1)}

    def from_stored(self, values: Values, structure: Structure) -> Values:
        """Latents in the middle of their cells."""
        return {"latents": jnp.tensordot(self.scales, jnp.asarray(values["signs"]), (0, 1)) / 2}

    def trained(self, parameters: Values, structure: Structure) -> LinearOperator:
        planes = [2.0**-p * binarise(parameters["signs"][p], self.surrogate) for p in range(self.planes)]
        return masked(functools.reduce(jnp.add, planes), structure)

    def packed(self, arrays: Values, exists: Array | None, structure: Structure) -> LinearOperator:
        return PackedSigns(arrays["signs"], self.scales, exists, structure, "layer")
