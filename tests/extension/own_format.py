"""A weight format of a user's own: signs times one power of ``base`` for each matrix, so that products only shift."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from unrollbit.formats import Floats, Identity, Representation, Signs, binarise, masked, mean_of, normalised_latents


@dataclass(frozen=True)
class Shifted(Representation):
    base: float = 2.0

    def stored(self, structure, copies):
        return {"signs": Signs((copies,), structure), "scale": Floats((copies,), positive=True)}

    def start(self, cores, structure):
        return {"signs": normalised_latents(cores, structure), "scale": mean_of(jnp.abs(cores), structure)}

    def trained(self, parameters, structure):
        scale = parameters["scale"]
        power = self.base ** jnp.round(jnp.log(scale) / jnp.log(self.base))
        straight_through = scale + jax.lax.stop_gradient(power - scale)
        return masked(straight_through * binarise(parameters["signs"], Identity()), structure)
