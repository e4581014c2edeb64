"""Wrappers that put weights at another place: another start, another structure, or the domain of the signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
import numpy as np
from jaxtyping import Array

from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.algorithms.base import LinearMap
from unrollbit.arguments import integer
from unrollbit.decompositions import design_cores
from unrollbit.formats.base import Format, Place
from unrollbit.formats.one_bit import OneBit
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import Composition, LinearOperator


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
        integer("wider", self.wider, 0)

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


@dataclass(frozen=True)
class SignalDomain(Wrapper):
    """``W = S Psi``: S is learned in the domain of the signal, Psi a fast orthonormal transform that stores nothing.

    For physics ``A = Phi Psi`` (measurement after synthesis), where S starts at Phi: +-1 patterns stay one-bit
    although ``A`` itself is not.
    """

    in_signal_domain: ClassVar[bool] = True
    words: ClassVar[str] = "in the domain of the signal"
    inner: Format

    def inside(self, place: Place) -> Place:
        """The map starts at Phi (or a multiple) where it starts at A, and at W Psi^T elsewhere (Psi orthonormal), which
        has none of the zeros of Phi.
        """
        place.check_transposed("SignalDomain")
        measurement, synthesis = _parts(place.physics)
        start, parts = place.map.initial, place.map.initial.split
        start = parts[0] if parts is not None and parts[1] == synthesis else start @ synthesis.T
        around = measurement if place.around is place.physics else place.around
        return replace(place, map=LinearMap(start, start.mask(), transposed=True), physics=measurement, around=around)

    def wrap(self, place: Place, inner: Weights) -> Weights:
        synthesis = _parts(place.physics)[1]
        structure = Composition(inner.layer(0), synthesis).mask()
        return self.enclose(inner, {"synthesis": synthesis}, structure=structure)

    def matrix(self, weights: Weights, parameters: Any) -> LinearOperator:
        return Composition(super().matrix(weights, parameters), weights.given["synthesis"].get_value())

    def inwards(self, weights: Weights, matrices: Array) -> Array:
        synthesis = weights.given["synthesis"].get_value()
        return jax.vmap(lambda matrix: synthesis(matrix))(matrices)  # W Psi^T = S Psi Psi^T = S, row by row

    def reference(self, physics: LinearOperator) -> LinearOperator | None:
        return self.inner.reference(_parts(physics)[0])


def _parts(physics: LinearOperator) -> tuple[LinearOperator, LinearOperator]:
    """Measurement and synthesis. Raises ``ValueError`` for physics that are no such composition."""
    parts = physics.split
    if parts is None:
        raise ValueError(
            "SignalDomain: expected physics A = Phi Psi, a measurement after an orthonormal synthesis, got "
            f"{physics!r}; learn W in the domain of x instead"
        )
    return parts
