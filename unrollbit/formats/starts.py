"""Wrappers that only say how weights start, or which structure they have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.decompositions import design_cores
from unrollbit.formats.base import Format, Place
from unrollbit.formats.one_bit import OneBit
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper


@dataclass(frozen=True)
class Coherent(Wrapper):
    """Start at ALISTA's matrix (``coherence_matrix``), for maps of the shape of A.

    ``Coherent(Fixed())`` is that matrix, computed again from A when a file is loaded.
    """

    lasts: ClassVar[bool] = False
    inner: Format

    def inside(self, place: Place) -> Place:
        place.check_transposed("Coherent")
        return place.starting_at(coherence_matrix(place.physics))

    def describe(self, weights: Weights) -> tuple[str, ...]:
        first, *rest = super().describe(weights)
        if weights.stored_weights():
            return first, *rest
        return "not learned: the matrix of least coherence with A (ALISTA's), recomputed from A", *rest


@dataclass(frozen=True)
class SharedTaps(Wrapper):
    """The weights are the taps of a convolution, where the physics is one: a one-bit filter is a one-bit Toeplitz
    matrix, of few stored bits and many links.

    ``wider``: taps beyond the physics' own on each side of each axis; they start at 0, or at +1 times the scale in a
    one-bit filter. Around other wrappers: ``SignalDomain(SharedTaps(OneBit()))`` for ``A = Phi Psi``.
    """

    lasts: ClassVar[bool] = False
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


@dataclass(frozen=True)
class Designed(Wrapper):
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

    lasts: ClassVar[bool] = False
    inner: OneBit = OneBit(scale="none")
    noise: float = 0.0
    steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
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
        core, given = np.asarray(physics.core(structure)), {"noise": self.noise, "steps": self.steps, "seed": self.seed}
        found = design_cores(core, place.copies, planes=self.inner.planes, around=around is not None, **given)
        return self.wrap(place, self.inner.designed(*found, structure))
