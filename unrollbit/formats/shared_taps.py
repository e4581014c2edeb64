"""Maps whose weights are shared by convolution."""

from __future__ import annotations

from dataclasses import dataclass, replace

from unrollbit.formats.base import Format, Place
from unrollbit.formats.wrapper import Start


@dataclass(frozen=True)
class SharedTaps(Start):
    """The weights are the taps of a convolution, where the physics is one: a one-bit filter is a one-bit Toeplitz
    matrix, of few stored bits and many links.

    ``wider``: taps beyond the physics' own on each side of each axis; they start at 0, or at +1 times the scale in a
    one-bit filter. Around other wrappers: ``SignalDomain(SharedTaps(OneBit()))`` for ``A = Phi Psi``.
    """

    inner: Format
    wider: int = 0

    def __post_init__(self) -> None:
        if self.wider < 0:
            raise ValueError(f"wider: expected a number of taps >= 0, got {self.wider!r}")

    def inside(self, place: Place) -> Place:
        structure = place.physics.shared_taps(self.wider)
        if place.map.shape != structure.shape:
            raise ValueError(f"SharedTaps: expected a map of the shape {structure.shape} of A, got {place.map.shape}")
        return replace(place, map=replace(place.map, structure=structure))
