"""The code length of a network of the library, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from unrollbit import count_bits
from unrollbit.formats import Weights
from unrollbit.networks import Network
from unrollbit.signbits import unpack_signs
from unrollbit.theory.generalization.code import flip_length, mask_length


@dataclass(frozen=True)
class NetworkCode:
    """Bits of one network.

    Args:
        weights: bits of all stored matrix entries as they are: 1 a sign, 32 a float.
        scalars: stored scalars (scales, steps, thresholds, biases) in words of 32 bits; a last half word is filled up.
        entries, flips: of every stored sign matrix that has a reference, its entries and its flips from ``sign(A)``.
        stored: matrix entries that the same network in full precision would store.
        mask: bits of learned masks.
        apart: whether a flipped sign changes no other entry of the matrices.
    """

    weights: int
    scalars: int
    entries: tuple[int, ...]
    flips: tuple[int, ...]
    stored: int
    mask: float = 0.0
    apart: bool = True

    @property
    def raw(self) -> float:
        """``b_raw``: stored entries at their width, and scalars."""
        return float(self.weights + 32 * self.scalars)

    @property
    def flip(self) -> float | None:
        """``b_flip``, or None where no matrix has a reference."""
        if not self.entries:
            return None
        coded = sum(flip_length(P, f) - P for P, f in zip(self.entries, self.flips, strict=True))
        return self.raw + coded

    @property
    def bits(self) -> float:
        """``min(b_raw, b_flip) + 1``, plus learned masks: what the certificates take."""
        return (self.raw if self.flip is None else min(self.raw, self.flip)) + self.mask + 1.0

    @property
    def raw_bits(self) -> float:
        """The code length without the flip code, for comparison."""
        return self.raw + self.mask

    @property
    def float32_bits(self) -> float:
        """The same network with 32 bits for every stored weight."""
        return 32.0 * (self.stored + self.scalars) + self.mask

    @property
    def flip_share(self) -> float | None:
        """Share of the signs with a reference that differ from it."""
        return None if not self.entries else sum(self.flips) / sum(self.entries)


def network_code(net: Network, *, learned_masks: bool = False) -> NetworkCode:
    """Code length of any network: unrolled (ISTA, FISTA, AMP, gradient descent, ADMM) or fully connected.

    Entries and scalars are those of ``count_bits``. The flip code, relative to ``sign(A)``, is for maps of one sign
    plane that have the shape and structure of A and are applied as ``W^T``; signs that correct A (``Anchored``), live
    in another domain (``SignalDomain``) or have another shape are counted as they are. Masks that the physics sets cost
    nothing; ``learned_masks`` counts those of all stored maps.

    Example:
        >>> from unrollbit import ISTA, Unrolled
        >>> from unrollbit.operators import gaussian
        >>> code = network_code(Unrolled(ISTA(), gaussian(64, 128), 10, distinct=1))
        >>> code.raw, code.flips, round(code.bits), code.float32_bits
        (8864.0, (0,), 686, 262816.0)
    """
    if not isinstance(net, Network):
        raise ValueError(f"network_code: expected a network of the library, got {type(net).__name__}")
    report = count_bits(net)
    entries: list[int] = []
    flips: list[int] = []
    stored, mask = 0, 0.0
    for name, weights in net.maps.items():
        inner = weights.leaf
        if not inner.stored_weights():
            continue
        stored += inner.copies * inner.structure.size
        if learned_masks:
            m, n = inner.shape
            mask += mask_length(m, n, inner.structure.size)
        if name in net.transposed and _has_reference(weights, net):
            counted = _flips(inner, net)
            flips += counted
            entries += [inner.structure.size] * len(counted)
    apart = all(weights.inner is None for weights in net.maps.values())
    scalars = -(-report.scale_bits // 32)
    return NetworkCode(report.weight_bits, scalars, tuple(entries), tuple(flips), stored, mask, apart)


def _has_reference(weights: Weights, net: Network) -> bool:
    """Whether the signs are one plane that is measured against the signs of the physics themselves."""
    leaf, A = weights.leaf, net.operator
    if weights.format.reference(A) is not A or leaf.structure != A.mask():
        return False
    signs = weights.stored().get("signs")  # one plane: as many as the matrices have entries
    return signs is not None and signs.weights == leaf.copies * leaf.structure.size


def _flips(weights: Weights, net: Network) -> list[int]:
    """Flips of every stored matrix, from the bits that a file holds."""
    packed, structure = weights.pack().arrays["signs"], weights.structure
    reference = structure.entries(np.asarray(structure.gather(net.operator.dense())))
    signs = np.asarray(unpack_signs(jnp.asarray(packed), reference.shape[-1]))
    signs = signs.reshape(weights.copies, *reference.shape)
    return [int(((matrix < 0) != (reference < 0)).sum()) for matrix in signs]
