"""Structures of 9 x 21, and one-bit weights of any structure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unrollbit.algorithms.base import LinearMap
from unrollbit.formats import OneBit, TanhSign, Weights
from unrollbit.operators import Dense
from unrollbit.structures import Band, Blocks, Full, Indexed, Structure

STRUCTURES: dict[str, Structure] = {
    "full": Full(9, 21),
    "blocks": Blocks(3, 3, 7),
    "band": Band(9, 21, -2, 11, 2),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(9, 21)) < 0.4),
}


@pytest.fixture(scope="session")
def structures() -> dict[str, Structure]:
    """By name: full, blocks, band, indexed."""
    return STRUCTURES


@pytest.fixture(params=STRUCTURES)
def structure(request: pytest.FixtureRequest) -> Structure:
    """Each of them."""
    return STRUCTURES[request.param]


@pytest.fixture(scope="session")
def map_of() -> Callable[[Structure], tuple[LinearMap, Dense]]:
    """``map_of(structure)``: a map from a random matrix, and that matrix."""

    def made(structure: Structure) -> tuple[LinearMap, Dense]:
        A = Dense.of(np.random.RandomState(1).standard_normal(structure.shape), structure)
        return LinearMap(A, structure, transposed=True), A

    return made


@pytest.fixture(scope="session")
def weights_of() -> Callable[..., Weights]:
    """``weights_of(structure, copies, planes, scale)``: signs of random matrices."""

    def made(structure: Structure, copies: int = 2, planes: int = 2, scale: str = "row") -> Weights:
        values = np.random.RandomState(0).standard_normal((copies, *structure.shape))
        return OneBit(planes=planes, scale=scale, surrogate=TanhSign()).from_matrix(values, structure, copies=copies)

    return made
