"""Proximal shrinkages against numerical minimisers, in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from unrollbit.shrinkage import Box, Firm, GroupSoft, Hard, Identity, NonNegative, Shrinkage, Soft

U = np.array([-3.1, -1.3, -0.71, -0.2, 0.0, 0.13, 0.49, 0.77, 1.9, 4.2])
GRID = np.linspace(-6, 6, 120_001)  # contains 0 and the sides of the box


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def _scalars(shrinkage: Shrinkage, weight: float) -> dict:
    return {name: jnp.asarray(spec.initial_values(1)[0]) for name, spec in shrinkage.scalars(weight).items()}


def _minimiser(objective) -> float:
    """Global minimiser of a scalar objective: the best point of a grid, then of a finer one around it."""
    centre = GRID[np.argmin(objective(GRID))]
    fine = centre + np.linspace(-1e-4, 1e-4, 2001)
    return float(fine[np.argmin(objective(fine))])


@pytest.mark.long
@pytest.mark.parametrize("weight", [0.0, 0.4, 1.1])
@pytest.mark.parametrize("shrinkage", [Soft(), Hard(), NonNegative(), Box(-0.5, 1.0), Identity()], ids=str)
def test_minimises_its_own_penalty(shrinkage, weight):
    def objective(z, u):
        penalty = np.asarray(shrinkage.penalty(jnp.asarray(z)[:, None]))
        return (
            0.5 * (z - u) ** 2
            + (np.where(np.isinf(penalty), np.inf, weight * penalty) if weight else 0)
            + (np.where(np.isinf(penalty), np.inf, 0))
        )

    got = shrinkage(jnp.asarray(U), _scalars(shrinkage, weight), 1.0)
    np.testing.assert_allclose(got, [_minimiser(lambda z, u=u: objective(z, u)) for u in U], atol=1e-6)


@pytest.mark.parametrize("tau", [0.5, 2.0])
def test_tau_multiplies_the_threshold(tau):
    scalars = {"threshold": jnp.asarray(0.6)}
    moved = {"threshold": jnp.asarray(0.6 * tau)}
    for shrinkage in (Soft(), Hard(), NonNegative(), GroupSoft(2)):
        np.testing.assert_allclose(shrinkage(jnp.asarray(U), scalars, tau), shrinkage(jnp.asarray(U), moved, 1.0))


@pytest.mark.parametrize(("threshold", "width"), [(0.5, 0.7), (0.3, 2.0), (1.0, 0.2)])
def test_firm_minimises_the_minimax_concave_penalty(threshold, width):
    gamma = 1 + width / threshold

    def penalty(z):
        return np.where(
            np.abs(z) <= gamma * threshold, threshold * np.abs(z) - z**2 / (2 * gamma), gamma * threshold**2 / 2
        )

    got = Firm()(jnp.asarray(U), {"threshold": jnp.asarray(threshold), "width": jnp.asarray(width)}, 1.0)
    expected = [_minimiser(lambda z, u=u: 0.5 * (z - u) ** 2 + penalty(z)) for u in U]
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("weight", [0.3, 1.5])
def test_group_soft_minimises_the_sum_of_group_norms(weight):
    shrinkage = GroupSoft(2)
    got = np.asarray(shrinkage(jnp.asarray(U), _scalars(shrinkage, weight), 1.0))
    objective = lambda z: 0.5 * np.sum((z - U) ** 2) + weight * float(shrinkage.penalty(jnp.asarray(z)))  # noqa: E731
    reference = minimize(objective, U, method="Powell", options={"xtol": 1e-9, "ftol": 1e-13, "maxiter": 20_000})
    assert objective(got) <= reference.fun + 1e-9
    np.testing.assert_allclose(got, reference.x, atol=1e-4)


def test_penalties_by_hand():
    x = jnp.asarray([[3.0, -4.0, 0.0, 0.0], [1.0, 0.0, 0.0, 2.0]])
    assert Soft().penalty(x).tolist() == [7.0, 3.0]
    assert Hard().penalty(x).tolist() == [2.0, 2.0]
    assert GroupSoft(2).penalty(x).tolist() == [5.0, 3.0]
    assert NonNegative().penalty(x).tolist() == [np.inf, 3.0]
    assert Box(0.0, 2.0).penalty(x).tolist() == [np.inf, 0.0]
    assert Identity().penalty(x).tolist() == [0.0, 0.0]
    assert Firm().penalty(x) is None
