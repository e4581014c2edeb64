"""Weights of any format that start at the matrix of least coherence with the physics instead of the physics."""

from __future__ import annotations

from dataclasses import dataclass

from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.formats.base import Format, Place
from unrollbit.formats.weights import Weights
from unrollbit.formats.wrapper import Start


@dataclass(frozen=True)
class Coherent(Start):
    """Start at ALISTA's matrix (``coherence_matrix``), for maps of the shape of A.

    ``Coherent(Fixed())`` is that matrix, computed again from A when a file is loaded.
    """

    inner: Format

    def inside(self, place: Place) -> Place:
        place.check_transposed("Coherent")
        return place.starting_at(coherence_matrix(place.physics))

    def describe(self, weights: Weights) -> tuple[str, ...]:
        first, *rest = super().describe(weights)
        if weights.stored_weights():
            return first, *rest
        return "not learned: the matrix of least coherence with A (ALISTA's), recomputed from A", *rest
