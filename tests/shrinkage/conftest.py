"""Every shrinkage once, with scalars to call it with."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

from unrollbit.scalars import constrained
from unrollbit.shrinkage import (
    BernoulliGaussian,
    Box,
    Firm,
    Grouped,
    GroupSoft,
    Hard,
    Identity,
    NonNegative,
    Shrinkage,
    Soft,
    SupportSelection,
)

N = 12
GROUPS = (0, 0, 0, 1, 1, 1, 0, 1, 2, 2, 2, 2)

_EVERY: dict[str, Shrinkage] = {
    "Soft": Soft(),
    "SupportSelection": SupportSelection(share=20.0, max_share=50.0),
    "Firm": Firm(relative_width=2.0),
    "Hard": Hard(),
    "GroupSoft": GroupSoft(3),
    "BernoulliGaussian": BernoulliGaussian(sparsity=0.2, variance=2.0),
    "NonNegative": NonNegative(),
    "Box": Box(-0.5, 0.75),
    "Identity": Identity(),
    "Grouped": Grouped(Firm(), GROUPS, (("threshold", (0.1, 0.2, 0.3)),)),
    "GroupedPrior": Grouped(BernoulliGaussian(), GROUPS),
}


def _start_scalars(shrinkage: Shrinkage, weight: float = 0.3, layer: int = 1, dtype=jnp.float32) -> dict:
    """The initial scalars of one layer, as the network sees them."""
    specs = shrinkage.scalars(weight)
    return {
        name: constrained(jnp.asarray(spec.raw(spec.initial_values(4))[layer], dtype), spec.constraint)
        for name, spec in specs.items()
    }


@pytest.fixture(scope="session", params=_EVERY.values(), ids=_EVERY.keys())
def shrinkage(request) -> Shrinkage:
    return request.param


@pytest.fixture(scope="session")
def start_scalars():
    return _start_scalars
