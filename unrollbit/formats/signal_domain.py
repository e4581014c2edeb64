"""Weights that live in the domain of the signal, inside a fast transform that stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax
from jaxtyping import Array

from unrollbit.algorithms.base import LinearMap
from unrollbit.formats.base import Format, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Wrapper
from unrollbit.operators import Composition, LinearOperator


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
