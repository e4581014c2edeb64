"""Signs as blocks, and their products in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unrollbit.signbits import pack_signs


@pytest.fixture(scope="session")
def drawn() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """``drawn(seed, blocks, rows, columns, planes)``: signs (planes, blocks, rows, columns) and their packed rows."""

    def made(seed: int, blocks: int, rows: int, columns: int, planes: int = 1) -> tuple[np.ndarray, np.ndarray]:
        signs = np.random.RandomState(seed).choice([-1.0, 1.0], (planes, blocks, rows, columns))
        return signs, pack_signs(signs)

    return made


@pytest.fixture(scope="session")
def by_hand() -> Callable[[np.ndarray, np.ndarray, bool], np.ndarray]:
    """``by_hand(core, x, transpose)``: products with blocks (blocks, rows, columns) in float64."""

    def product(core: np.ndarray, x: np.ndarray, transpose: bool) -> np.ndarray:
        lead, (blocks, rows, columns) = x.shape[:-1], core.shape
        parts = np.asarray(x, np.float64).reshape(*lead, blocks, rows if transpose else columns)
        out = np.einsum("bij,...bi->...bj" if transpose else "bij,...bj->...bi", core, parts)
        return out.reshape(*lead, blocks * out.shape[-1])

    return product


@pytest.fixture(scope="session")
def distance() -> Callable[..., float]:
    """``distance(found, wanted)``, relative to what is wanted."""

    def relative(found, wanted: np.ndarray) -> float:
        return float(np.linalg.norm(np.asarray(found, np.float64) - wanted) / max(np.linalg.norm(wanted), 1e-300))

    return relative
