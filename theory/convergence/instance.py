"""One signal and its measurements, checked against a network: what a convergence theorem is given."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import finite

SOFT = "the shrinkage is the soft threshold"


def signal(name: str, form: NormalForm, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """``x`` in float64; raises ``ValueError`` unless it is one finite signal of the network."""
    return _vector(f"{name} x", x, form.A.shape[1])


def measurement(name: str, form: NormalForm, y: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """``y`` in float64; raises ``ValueError`` unless these are finite measurements of one signal."""
    return _vector(f"{name} y", y, form.A.shape[0])


def full_column_rank(A: Float[np.ndarray, "m n"]) -> bool:
    """Whether the columns of A are independent, with NumPy's rank decision."""
    return int(np.linalg.matrix_rank(A)) == A.shape[1]


def _vector(what: str, values: np.ndarray, length: int) -> np.ndarray:
    found = np.asarray(values, np.float64)
    if found.shape != (length,):
        raise ValueError(f"{what}: expected shape ({length},), got {found.shape}")
    return finite(what, found)
