"""Weights of any format that start at the matrix of least coherence with the physics instead of the physics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.algorithms.base import LinearMap
from unrollbit.operators import LinearOperator
from unrollbit.weights.base import Weights, WeightsFactory


def from_coherence(inner: WeightsFactory) -> WeightsFactory:
    """Factory of weights that start at ALISTA's matrix (``coherence_matrix``), for maps of the shape of A.

    The factory raises ``ValueError`` for other maps.
    """

    def build(linear_map: LinearMap, physics: LinearOperator, copies: int = 1, **options: Any) -> Weights:
        if not linear_map.transposed:
            raise ValueError("from_coherence: the matrix of least coherence is for maps of the shape of A")
        return inner(replace(linear_map, initial=coherence_matrix(physics)), physics, copies, **options)

    return build
