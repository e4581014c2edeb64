"""Preconditioned operators inside others: measurements are whitened once, or the combination is refused."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import ISTA, solve
from unrollbit.operators import Composition, Dense, Preconditioned, Scaled, Sum, gaussian, ill_conditioned
from unrollbit.packed_operators import sign_planes
from unrollbit.problems import Problem


def test_a_preconditioned_operator_cannot_be_lost_inside_another() -> None:
    A = gaussian(4, 8)
    P = Preconditioned.of(A)
    twice = Scaled.of(P, 2.0)
    assert P.preconditioned
    assert twice.preconditioned
    assert Composition.of(P, gaussian(8, 9)).preconditioned
    assert not A.preconditioned
    y = jnp.ones(4)
    np.testing.assert_array_equal(twice.accept(y), P.accept(y))
    for wrapped in (P, twice):
        with pytest.raises(ValueError, match="cannot add preconditioned operators"):
            Sum.of(wrapped, A)
        with pytest.raises(ValueError, match="cannot compose with a preconditioned inner operator"):
            Composition.of(gaussian(3, 4), wrapped)
        with pytest.raises(ValueError, match="is preconditioned already"):
            Preconditioned.of(wrapped)
        with pytest.raises(ValueError, match="a preconditioned operator holds P in floats"):
            sign_planes(wrapped, 2)
        with pytest.raises(ValueError, match="expected the physics that measures"):
            Problem.from_arrays(wrapped, np.zeros((20, 8), np.float32))


def test_objectives_are_those_of_the_preconditioned_problem() -> None:
    A = ill_conditioned(8, 16, seed=1)
    P, y = Preconditioned.of(A), A(jnp.ones(16))
    found, expected = (
        solve(ISTA(regularisation=0.05), operator, measured, 3, iterates=True).objective
        for operator, measured in ((P, y), (Dense.of(P.dense()), P.accept(y)))
    )
    assert found is not None
    np.testing.assert_allclose(found, expected, rtol=1e-5)
