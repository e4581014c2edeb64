"""What BitNet's formats share: one scale per matrix, which follows the mean magnitude of the latents."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from unrollbit.formats.cores import existing, mean_of, over, per_copy, with_magnitude
from unrollbit.formats.representation import Representation, Values, Variables
from unrollbit.formats.stored import TINY
from unrollbit.formats.weights import Weights
from unrollbit.structures import Structure
from unrollbit.variables import BinaryParam, Statistic


class MeanScaled(Representation, abstract=True):
    """Latents are held in units of their initial mean magnitude, so that one learning rate fits all formats. The unit
    takes part in training without a gradient: a physical unit must not decide.
    """

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def start(self, cores: Array, structure: Structure) -> Values:
        unit = mean_of(jnp.abs(cores), structure)
        return {"latents": over(cores, per_copy(unit, cores)), "unit": jnp.maximum(unit, TINY)}

    def variables(self, values: Values, structure: Structure, copies: int) -> Variables:
        held = {name: jnp.asarray(array, jnp.float32) for name, array in values.items()}
        return {"latents": BinaryParam(held["latents"]), "unit": Statistic(held["unit"])}

    def size(self, latents: Array, structure: Structure) -> Float[Array, " copies"]:
        """Mean magnitude of the latents, without a gradient."""
        size = mean_of(jnp.abs(latents * existing(structure)), structure)
        return jax.lax.stop_gradient(jnp.maximum(size, TINY))

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def scale(self, values: Values, structure: Structure) -> Float[Array, " copies"]:
        """``mean |W|`` of each matrix."""
        return jnp.maximum(values["unit"] * self.size(values["latents"], structure), TINY)

    def floats(self, values: Values, structure: Structure) -> Array:
        latents = values["latents"]
        return with_magnitude(latents, per_copy(self.scale(values, structure), latents), structure)

    def round(self, weights: Weights) -> None:
        """The unit changes so that the scale is one that a file can hold."""
        exact, unit = self.scale(self.held(weights), weights.structure), weights.variables["unit"]
        stored = self.stored(weights.structure, weights.copies)["scale"]
        unit[...] = unit[...] * (exact.astype(stored.dtype).astype(jnp.float32) / exact)
