"""One-bit weights whose signs are designed for low coherence with the physics."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from unrollbit.decompositions import Design
from unrollbit.formats.base import Place
from unrollbit.formats.one_bit import OneBit
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Start


@dataclass(frozen=True)
class Designed(Start):
    """Start at designed signs (``design_signs``): each copy from its own seed, block by block where A has blocks.

    With one plane no scale is needed inside ``Normalised``: ``Normalised(Designed(OneBit(scale="none")))``; with
    several, ``scale="global"`` lets their ratio train. Inside ``Anchored`` the signs are those of V in ``W = A + V``.

    Args:
        inner: the one-bit format that holds the signs.
        noise: noise variance over the mean squared error per unknown that the signs are designed for.
        steps: annealed flips per column.
        seed: seed of the first matrix.

    Raises:
        ValueError: several planes without scales; where a map is met, one that is not of the shape of A, dense or in
            blocks.
    """

    inner: OneBit = OneBit(scale="none")
    noise: float = 0.0
    steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        designed = getattr(self.inner, "designed", None)
        if designed is None:
            raise ValueError(f"Designed: expected a one-bit format such as OneBit(planes=2), got {self.inner!r}")
        if self.inner.planes > 1 and self.inner.scale == "none":
            raise ValueError(f"Designed: {self.inner.planes} planes need scales; use scale='global'")

    def build(self, place: Place) -> Weights:
        place.check_transposed("Designed")
        structure, physics, around = place.map.structure, place.physics, place.around
        if not structure.solid:
            raise ValueError("Designed: expected a map that is dense or in blocks; use OneBit here")
        if around is not None and around is not physics:
            raise ValueError("Designed: signs around the physics are for maps that start there; use OneBit here")
        if around is not None and self.inner.scale == "none":
            raise ValueError("Designed: signs around the physics need scales; use scale='global'")
        core = np.asarray(physics.core(structure))
        blocks = core.reshape(-1, *core.shape[-2:])
        temperature = 0.1 if core.shape[-1] < 1024 else 0.05
        planes = self.inner.planes
        designs = [
            Design.of(block, planes, None if around is None else block, self.noise, self.steps) for block in blocks
        ]
        mean_scales = np.mean([np.asarray(design.scales, np.float64) for design in designs], axis=0)
        latents, scales = [], []
        for copy in range(place.copies):
            keys = [jax.random.key(self.seed + 7919 * copy + b) for b in range(len(blocks))]
            found = [design.run(key, self.steps, temperature) for design, key in zip(designs, keys, strict=True)]
            latents.append(jnp.stack(found, axis=1).reshape(planes, *structure.core_shape))
            units = mean_scales
            if around is None:  # the energy is scale-free: w_j^T a_j = 1 in the mean, as algorithms expect
                signs = np.where(np.asarray(latents[-1]) >= 0, 1.0, -1.0)
                products = structure.column_sum(jnp.asarray(np.tensordot(units, signs, 1) * core))
                units = units / float(jnp.mean(products))
            scales.append(units)
        return self.wrap(place, self.inner.designed(jnp.stack(latents), jnp.asarray(np.stack(scales)), structure))
