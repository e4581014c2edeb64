"""Uniform quantisation in sign planes whose scales are powers of two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from unrollbit.formats.cores import masked, normalised_latents, with_magnitude
from unrollbit.formats.representation import Representation, Values, Variables
from unrollbit.formats.stored import Signs, Stored
from unrollbit.formats.surrogates import Clipped, Surrogate, binarise
from unrollbit.operators import LinearOperator
from unrollbit.packed_operators.packed_signs import PackedSigns
from unrollbit.structures import Structure
from unrollbit.variables import BinaryParam


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
        if self.planes < 1:
            raise ValueError(f"Uniform: expected planes >= 1, got {self.planes!r}")

    @property
    def description(self) -> str:
        return f"uniform, {self.planes} sign plane{'s' * (self.planes > 1)}, no scale"

    @property
    def scales(self) -> Array:
        """``2^-p``."""
        return 2.0 ** -jnp.arange(self.planes, dtype=jnp.float32)

    def stored(self, structure: Structure, copies: int) -> dict[str, Stored]:
        return {"signs": Signs((copies, self.planes), structure)}

    def start(self, cores: Array, structure: Structure) -> Values:
        return {"latents": normalised_latents(cores, structure) / 2}

    def variables(self, values: Values, structure: Structure, copies: int) -> Variables:
        variables: dict[str, nnx.Variable] = {"latents": BinaryParam(jnp.asarray(values["latents"], jnp.float32))}
        return variables

    def values(self, values: Values, structure: Structure) -> Values:
        """What is left of the latents for each plane."""
        return {"signs": jnp.stack(self._planes(values["latents"])[1], axis=1)}

    def restored(self, stored: Values, structure: Structure) -> Values:
        """Latents in the middle of their cells."""
        signs = jnp.asarray(stored["signs"])
        return {"latents": jnp.tensordot(self.scales, signs, (0, 1)) / 2}

    def _planes(self, latents: Array) -> tuple[Array, list[Array]]:
        """The quantised latents, and what was left for each plane."""
        total, rests = jnp.zeros_like(latents), []
        for plane in range(self.planes):
            rests.append(latents - jax.lax.stop_gradient(total) / 2)
            total = total + 2.0**-plane * binarise(rests[-1], self.surrogate)
        return total, rests

    def parameters(self, values: Values, structure: Structure) -> Array:
        return values["latents"]

    def trained(self, parameters: Array, structure: Structure) -> LinearOperator:
        return masked(self._planes(parameters)[0], structure)

    def floats(self, values: Values, structure: Structure) -> Array:
        latents = values["latents"]
        return with_magnitude(latents, jnp.abs(self._planes(latents)[0]), structure)

    def stacked(self, arrays: Mapping[str, Array], copies: int) -> dict[str, Array]:
        return {"signs": arrays["signs"], "scales": jnp.broadcast_to(self.scales, (copies, self.planes))}

    def packed(self, arrays: Mapping[str, Array], exists: Array | None, structure: Structure) -> LinearOperator:
        return PackedSigns(arrays["signs"], arrays["scales"], exists, structure, "layer")
