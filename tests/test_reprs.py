"""What people see when they print an object: one short line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse

from unrollbit import (
    AMP,
    FISTA,
    FullyConnected,
    Stage,
    Unrolled,
    as_operator,
    count_bits,
    fit,
    pack,
    recipes,
    solve,
)
from unrollbit.operators import SubsampledFourier, gaussian
from unrollbit.problems import Problem, SparseRecovery

PROBLEM = SparseRecovery(8, 16)
ARRAYS = Problem.from_arrays(np.ones((8, 16)), np.ones((20, 16)))
NETWORK = Unrolled(AMP(), PROBLEM, 2)
MATRIX = scipy.sparse.eye_array(3)

PRINTED: dict[str, tuple[Callable[[], Any], str]] = {
    "Unrolled": (lambda: NETWORK, "Unrolled(AMP, 2 layers, Dense 8 x 16, W: OneBit)"),
    "FullyConnected": (lambda: FullyConnected(PROBLEM, 3), "FullyConnected(Fully connected ReLU network, 3 layers, "),
    "Weights": (lambda: NETWORK.maps["W"], "Weights(OneBit, 2 matrices 8 x 16)"),
    "PackedNetwork": (
        lambda: pack(NETWORK),
        "PackedNetwork(AMP, 2 layers, Dense 8 x 16, W: OneBit, 2.75 bits per link)",
    ),
    "BitReport": (lambda: count_bits(NETWORK), "BitReport(maps={'W': "),
    "Recipe": (lambda: recipes.two_stage(PROBLEM, 2), "Recipe(Unrolled(AMP, 2 layers, "),
    "TrainingReport": (
        lambda: fit(Unrolled(FISTA(), PROBLEM, 1), PROBLEM, Stage(20), progress=False),
        "TrainingReport(20 steps in ",
    ),
    "Solution": (
        lambda: solve(FISTA(), PROBLEM, np.ones((2, 8)), 3),
        "Solution(x=float32[2, 16], iterations=3, converged=False)",
    ),
    "ArrayProblem": (lambda: ARRAYS, "ArrayProblem("),
    "Sparse": (lambda: as_operator(MATRIX), "Sparse(3 x 3, 3 entries)"),
    "Function": (lambda: as_operator(jnp.sum, shape=3, matrix=False), "Function(sum, (3,) -> ())"),
    "a composition": (lambda: 2 * SubsampledFourier.random(8, 2) @ gaussian(8, 8), "Composition("),
}


@pytest.mark.long
@pytest.mark.parametrize("name", PRINTED)
def test_it_is_one_short_line(name: str) -> None:
    make, begins = PRINTED[name]
    made = make()
    text = repr(made)
    assert str(made) == text
    assert text.startswith(begins)
    assert "\n" not in text
    assert len(text) < 300
