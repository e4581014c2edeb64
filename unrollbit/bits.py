"""Bits per link, counted honestly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from flax import nnx

from unrollbit.arguments import instance
from unrollbit.arrays import same_array
from unrollbit.formats import Weights
from unrollbit.models.parts import kept_variables, quantised_layers
from unrollbit.models.selection import named
from unrollbit.networks import Network
from unrollbit.operators import LinearOperator

DEFINITIONS = {
    "links": (
        "scalar multiplications of the learned maps in the dense network of the same widths and depth; of a Flax model "
        "those of one product with each quantised matrix"
    ),
    "active_links": "links without structural zeros; fast transforms around a learned map count none",
    "stored_weights": "stored matrix entries: tied or shared ones once, each sign plane and sign factor on its own",
    "weight_bits": "bits of stored matrix entries by formula: 1 a sign, 1.6 or 2 a ternary weight, 32 a float",
    "scale_bits": "scales, step sizes, thresholds and all other learned scalars, at their stored width",
    "mask_bits": "irregular masks: a bitmap or indices; 0 for declared structure and for the mask of the physics",
    "physics_bits": "an operator that no seed or formula regenerates",
    "kept_bits": "of a Flax model: what is held outside its quantised layers (embeddings, norms, kept layers)",
    "resident_bits": "all linear maps in memory while the network runs, the physics included",
    "file_bits": "8 x size of the file, where signs that differ little from sign(A) take less than 1 bit (flip code)",
    "bits_per_link": "(weight + scale + mask) / links",
    "bits_per_active_link": "(weight + scale + mask) / active links",
    "bits_per_stored_weight": "(weight + scale + mask) / stored weights",
    "resident_bits_per_link": "resident bits / links",
    "file_bits_per_link": "file bits / links",
}


@dataclass(frozen=True)
class MapBits:
    """The counts of one linear map, all layers together; see ``DEFINITIONS``."""

    links: int
    active_links: int
    stored_weights: int
    weight_bits: int
    scale_bits: int
    mask_bits: int
    resident_bits: int


@dataclass(frozen=True)
class BitReport:
    """Result of ``count_bits``. Rates follow from the counts; every figure's definition is in ``DEFINITIONS``.

    Rates are None where their denominator is 0 (no stored weights, say) or the file is not written yet. ``kept``: bits
    by the name of the part that holds them.
    """

    maps: Mapping[str, MapBits]
    scalar_bits: int
    physics_bits: int
    physics_resident_bits: int
    file_bits: int | None = None
    kept: Mapping[str, int] = field(default_factory=dict)

    def _sum(self, name: str) -> int:
        return sum(getattr(counts, name) for counts in self.maps.values())

    @property
    def links(self) -> int:
        return self._sum("links")

    @property
    def active_links(self) -> int:
        return self._sum("active_links")

    @property
    def stored_weights(self) -> int:
        return self._sum("stored_weights")

    @property
    def weight_bits(self) -> int:
        return self._sum("weight_bits")

    @property
    def scale_bits(self) -> int:
        return self._sum("scale_bits") + self.scalar_bits

    @property
    def mask_bits(self) -> int:
        return self._sum("mask_bits")

    @property
    def resident_bits(self) -> int:
        return self._sum("resident_bits") + self.physics_resident_bits

    @property
    def kept_bits(self) -> int:
        return sum(self.kept.values())

    @property
    def _stored(self) -> int:
        return self.weight_bits + self.scale_bits + self.mask_bits

    @property
    def bits_per_link(self) -> float | None:
        return _rate(self._stored, self.links)

    @property
    def bits_per_active_link(self) -> float | None:
        return _rate(self._stored, self.active_links)

    @property
    def bits_per_stored_weight(self) -> float | None:
        return _rate(self._stored, self.stored_weights)

    @property
    def resident_bits_per_link(self) -> float | None:
        return _rate(self.resident_bits, self.links)

    @property
    def file_bits_per_link(self) -> float | None:
        return _rate(self.file_bits, self.links)

    def to_dict(self) -> dict[str, Any]:
        """Every figure by its name, the counts of each map under ``maps``, and the definitions; JSON-able."""
        figures = {name: getattr(self, name) for name in DEFINITIONS}
        by_map = {name: asdict(counts) for name, counts in self.maps.items()}
        beside = {"maps": by_map, "scalar_bits": self.scalar_bits, "kept": dict(self.kept)}
        return {**figures, **beside, "definitions": DEFINITIONS}


@runtime_checkable
class HoldsNetwork(Protocol):
    """A packed network: it knows its own bits, those of its file included."""

    @property
    def network(self) -> nnx.Module: ...

    def bits(self) -> BitReport: ...


def count_bits(net: Network | nnx.Module | HoldsNetwork, *, file_bits: int | None = None) -> BitReport:
    """Count the bits of a network, or of a Flax model, by formula; ``file_bits`` is the size of its file.

    Of a packed network, such as ``load`` gives, it is ``net.bits()``, file and all.

    A *link* is one scalar multiplication of a learned linear map in the dense network of the same widths and depth:
    structural zeros are links, and each layer of a tied network has its own.

    All counts but ``file_bits`` are of the network in memory: a sign is 1 bit of ``weight_bits``, whatever it takes in
    the file, where the flip code (``unrollbit.packed.flips``) stores signs by their differences from ``sign(A)``.
    Raises ``TypeError`` for what is no network.

    Example:
        >>> from unrollbit import AMP, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> report = count_bits(Unrolled(AMP(), gaussian(32, 64), depth=4))
        >>> report.links, report.weight_bits, round(report.bits_per_link, 3)
        (8192, 8192, 1.109)
    """
    if isinstance(net, HoldsNetwork):
        return net.bits()
    if not isinstance(net, Network):
        return _bits_of_model(net, file_bits)
    maps, A = {}, net.operator
    for name, weights in net.maps.items():
        mask_bits = 0 if _has_mask(A, weights) else weights.mask_bits
        maps[name] = _counted(weights, net.uses(name), mask_bits, _indices_of_physics(net, weights))
    scalars = sum(held.stored_bits for held in net.held_scalars().values())
    held = net.physics_resident_bits()
    return BitReport(maps, scalars, A.physics_bits(), held, file_bits)


def _bits_of_model(model: nnx.Module, file_bits: int | None) -> BitReport:
    """Of any Flax model: biases of quantised layers are scalars, all else that is held is kept."""
    expected = "Unrolled(...), load(path) or a Flax model"
    if isinstance(model, Weights):
        raise TypeError(
            f"count_bits: net: expected {expected}, got the weights of a map: count the network of which they are"
        )
    model = instance("count_bits: net", model, nnx.Module, expected)
    layers, scalars, kept = quantised_layers(model), 0, {}
    for path, variable in kept_variables(model).items():
        bits, owner = 8 * variable.size * variable.dtype.itemsize, path[:-1]
        if owner in layers:
            scalars += bits
        else:
            kept[named(owner)] = kept.get(named(owner), 0) + bits
    maps = {named(path): _counted(layer.weights, 1, layer.weights.mask_bits) for path, layer in layers.items()}
    return BitReport(maps, scalars, 0, 0, file_bits, kept)


def _counted(weights: Weights, uses: int, mask_bits: int, held_already: int = 0) -> MapBits:
    m, n = weights.shape
    return MapBits(
        links=m * n * uses,
        active_links=weights.leaf.structure.links * uses,
        stored_weights=weights.stored_weights(),
        weight_bits=weights.weight_bits(),
        scale_bits=weights.scale_bits(),
        mask_bits=mask_bits,
        resident_bits=weights.resident_bits() - held_already,
    )


def _has_mask(A: LinearOperator, weights: Weights) -> bool:
    """Whether all that a file holds of an irregular mask is there with the physics (it is then written once)."""
    if not weights.mask_bits:
        return False
    mask, physics = (_arrays(value.to_spec()) for value in (weights.leaf.structure, A))
    return all(any(same_array(part, other) for other in physics) for part in mask)


def _indices_of_physics(net: Network, weights: Weights) -> int:
    """Bits of the indices of a sparse matrix that products with the physics read as well: they are held once."""
    parts = net.operator.split
    mask = (net.operator if parts is None else parts[0]).mask()
    shared = net.needs_physics and weights.stored_weights() > 0 and weights.leaf.structure == mask
    return mask.held_bits if shared else 0


def _arrays(spec: Any) -> list[np.ndarray]:
    return [leaf for leaf in jax.tree.leaves(spec) if isinstance(leaf, np.ndarray)]


def _rate(bits: int | None, count: int) -> float | None:
    return None if bits is None or count == 0 else bits / count
