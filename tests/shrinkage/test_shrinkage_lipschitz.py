"""Declared Lipschitz constants against quotients of random pairs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    Identity,
    NonNegative,
    Soft,
    SupportSelection,
)

KNOWN = {
    "soft": Soft(),
    "non-negative": NonNegative(),
    "box": Box(-1.0, 0.5),
    "identity": Identity(),
    "group": GroupSoft(3),
    "firm": Firm(0.5),
    "grouped": Grouped(Soft(), (0, 1, 2) * 4, (("threshold", (0.1, 0.5, 2.0)),)),
    "grouped firm": Grouped(Firm(), (0, 1, 2) * 4, (("threshold", (0.1, 0.5, 2.0)),)),
}


def values(shrinkage, weight=0.7):
    return {name: np.asarray(spec.initial_values(1)[0]) for name, spec in shrinkage.scalars(weight).items()}


@pytest.mark.long
@pytest.mark.parametrize("name", KNOWN)
def test_no_pair_is_farther_apart_than_the_constant_allows(name):
    shrinkage, scalars = KNOWN[name], values(KNOWN[name])
    random = np.random.RandomState(0)
    u = 3 * random.randn(4000, 12)
    v = u + random.randn(4000, 12) * 10.0 ** random.uniform(-4, 1, (4000, 1))
    with jax.enable_x64(True):
        first, second = (np.asarray(shrinkage(jnp.asarray(a), scalars, 1.0)) for a in (u, v))
    constant = shrinkage.lipschitz(scalars)
    quotients = np.linalg.norm(first - second, axis=1) / np.linalg.norm(u - v, axis=1)
    assert quotients.max() <= constant * (1 + 1e-6)
    assert quotients.max() >= 0.5 * constant
    if shrinkage.convex:
        reflected = np.linalg.norm(2 * (first - second) - (u - v), axis=1)
        assert (reflected <= np.linalg.norm(u - v, axis=1) * (1 + 1e-9)).all()


def test_the_steepest_layer_counts():
    scalars = {"threshold": np.array([0.1, 2.0]), "width": np.array([1.0, 0.5])}
    assert Firm().lipschitz(scalars) == 5.0


@pytest.mark.parametrize("shrinkage", [Hard(), SupportSelection(), BernoulliGaussian()])
def test_no_constant_is_claimed_where_none_is_known(shrinkage):
    assert shrinkage.lipschitz(values(shrinkage)) is None
    assert not shrinkage.convex
