"""What a network consists of: the content of a file, and what ``Network.from_parts`` builds one from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrollbit.algorithms.base import LinearMap
from unrollbit.arrays import required
from unrollbit.formats import PackedWeights, Weights
from unrollbit.networks.activations import Activations
from unrollbit.operators import LinearOperator
from unrollbit.scalars import LARGEST_LOG, Constraint, Held


@dataclass(frozen=True)
class Parts:
    """A network apart from its class: ``spec`` (``Network.to_spec``), packed maps, raw scalars and the physics.

    They may come from a file that anyone wrote: the methods check what they give, before anything of a size that only
    the spec declares is allocated. All raise ``ValueError``.
    """

    spec: Mapping[str, Any]
    maps: Mapping[str, PackedWeights]
    scalars: Mapping[str, np.ndarray]
    physics: LinearOperator

    def fields(self, *names: str) -> list[Any]:
        """The fields of the spec, which must be exactly these (and perhaps activations)."""
        if set(self.spec) - {"activations"} != {"kind", *names}:
            raise ValueError(
                f"a network of kind {self.spec['kind']} has the fields {sorted(names)}; got {sorted(self.spec)}"
            )
        return [self.spec[name] for name in names]

    @property
    def activations(self) -> Activations | None:
        """Those of the spec; networks without any say nothing of them."""
        return Activations.from_spec(self.spec["activations"]) if "activations" in self.spec else None

    def raw(self, shapes: Mapping[str, tuple[Constraint, Held]]) -> dict[str, np.ndarray]:
        """The raw scalars, of which these are expected. Their shapes bound the depth that a spec declares."""
        if set(shapes) != set(self.scalars):
            raise ValueError(f"expected scalars {sorted(shapes)}, got {sorted(self.scalars)}")
        given = dict(self.scalars)
        found = {
            name: held.decode(required(given, name, held.stored_shape, held.dtype))
            for name, (_, held) in shapes.items()
        }
        for name, values in found.items():
            if not np.isfinite(values).all():
                raise ValueError(f"scalar {name!r} has NaN or infinite entries")
            if shapes[name][0] != "free" and (values > LARGEST_LOG).any():
                raise ValueError(f"scalar {name!r}: exp({values.max()}) is too large for a float32")
        return found

    def weights(self, linear: Mapping[str, LinearMap], *, frozen: bool) -> dict[str, Weights]:
        """Weights for these maps: trainable, or (``frozen``) running on the packed bits."""
        if set(linear) != set(self.maps):
            raise ValueError(f"expected maps {sorted(linear)}, got {sorted(self.maps)}")
        maps = {}
        for name, packed in self.maps.items():
            maps[name] = Weights.unpack(packed, linear[name], self.physics, frozen=frozen)
            if maps[name].shape != linear[name].shape:
                expected = linear[name].shape
                raise ValueError(f"map {name!r}: expected matrices of shape {expected}, got {maps[name].shape}")
        return maps
