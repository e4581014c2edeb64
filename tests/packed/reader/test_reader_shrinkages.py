"""Shrinkages of every kind, with every sort of noise level: the reader's against those of the library."""

from __future__ import annotations

import json
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.packed import runtime
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
from unrollbit.shrinkage.base import Shrinkage
from unrollbit.shrinkage.divergence import derivative


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


SHRINKAGES: dict[str, dict[str, Callable[[], Shrinkage]]] = {
    "Soft": {"soft": Soft},
    "Hard": {"hard": Hard},
    "Firm": {"firm": Firm},
    "NonNegative": {"non-negative": NonNegative},
    "Box": {"box": lambda: Box(-0.5, 0.8), "half line": lambda: Box(0.0, float("inf"))},
    "Identity": {"identity": Identity},
    "GroupSoft": {"groups of four": lambda: GroupSoft(4)},
    "SupportSelection": {"support": lambda: SupportSelection(11.0, 50.0)},
    "BernoulliGaussian": {
        "given variance": BernoulliGaussian,
        "learned variance": lambda: BernoulliGaussian(learn_variance=True),
    },
    "Grouped": {
        "of all scalars": lambda: Grouped(BernoulliGaussian(learn_variance=True), (0, 1, 2) * 4),
        "soft": lambda: Grouped(Soft(), (0,) * 4 + (1,) * 8),
        "groups in groups": lambda: Grouped(GroupSoft(3), (1,) * 6 + (0,) * 6),
    },
}
KINDS = {"test_shrinkages": (Shrinkage, SHRINKAGES)}
LEVELS = {
    "one": lambda: 1.0,
    "per signal": lambda: np.abs(normal(5, 1)) + 0.1,
    "per unknown": lambda: np.abs(normal(5, 12)) + 0.1,
}


@pytest.mark.parametrize(
    "levels", [pytest.param(n, marks=[] if n == "per signal" else pytest.mark.slow) for n in LEVELS]
)
def test_shrinkages(kind: str, case: Callable[[], Shrinkage], levels: str, same) -> None:
    shrinkage = case()
    assert shrinkage.to_spec()["kind"] == kind
    u, tau = 2 * normal(5, 12), LEVELS[levels]()
    specs = shrinkage.scalars(0.4)
    values = {name: np.asarray(spec.initial_values(3)[1], np.float32) * 1.1 for name, spec in specs.items()}
    shrink, declared = runtime.shrinkage_of(json.loads(json.dumps(shrinkage.to_spec())), 12)
    assert {name: (spec.constraint, spec.shape) for name, spec in specs.items()} == declared
    found, slope = shrink(u, values, tau)
    device = {name: jnp.asarray(value) for name, value in values.items()}
    same.close(np.asarray(found, np.float32), shrinkage(jnp.asarray(u), device, jnp.asarray(tau)))
    if shrinkage.separable:
        expected = derivative(shrinkage, jnp.asarray(u), device, jnp.asarray(tau))
        same.close(np.asarray(slope, np.float32), expected)
    else:
        assert slope is None
