"""What one-bit weights count alike, whether they train or run from packed bits."""

from __future__ import annotations

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from unrollbit.operators.packed import Scale, mask_rows_bits, padded_bits
from unrollbit.weights.base import Weights


class SignPlanes(Weights):
    """``copies`` matrices of ``planes`` sign planes each, with scales held as logarithms (None: all 1)."""

    planes: int
    scale: Scale
    log_scales: nnx.Variable | None

    def _scales(self) -> Array:
        """Scales with leading axes (copies, planes)."""
        lead = (self.copies, self.planes)
        if self.log_scales is None:
            return jnp.ones(lead, jnp.float32)
        scales = jnp.exp(self.log_scales[...])
        return jnp.broadcast_to(scales, lead) if self.scale == "global" else scales

    def stored_weights(self) -> int:
        return self.copies * self.planes * self.structure.size

    def weight_bits(self) -> int:
        return self.stored_weights()

    def scale_bits(self) -> int:
        return 0 if self.log_scales is None else 32 * self.log_scales[...].size

    def resident_bits(self) -> int:
        """Packed rows of signs and of an irregular mask, and scales, as a loaded network holds them."""
        signs = self.copies * self.planes * padded_bits(self.structure)
        return signs + mask_rows_bits(self.structure) + self.scale_bits()
