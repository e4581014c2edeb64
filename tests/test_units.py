"""The same problem in other units is the same problem: no absolute floor anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import ADMM, AMP, FISTA, ISTA, Activations, GradientDescent, Unrolled, refine, solve
from unrollbit.algorithms.base import Algorithm, noise_level
from unrollbit.metrics import failures, nmse_db, psnr_db, ssim, support_recovery_rate
from unrollbit.networks.activations import normalise, quantise
from unrollbit.operators import gaussian, gaussian_blocks
from unrollbit.problems import Problem
from unrollbit.problems.prior import banded_prior
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

RANDOM = np.random.RandomState(0)
A = gaussian(8, 16, seed=0)
Y: Any = RANDOM.standard_normal((3, 8)).astype(np.float32)
X: Any = RANDOM.standard_normal((3, 16)).astype(np.float32)
IMAGE: Any = RANDOM.uniform(size=(2, 144)).astype(np.float32)
NEAR: Any = (X + 0.1 * RANDOM.standard_normal(X.shape)).astype(np.float32)

VALUES = st.integers(-99, 99).map(lambda power: 2.0**power)  # 1e-30 to 1e30, exact: decisions must be equal
SQUARES = st.integers(-49, 49).map(lambda power: 2.0**power)  # for what is a square: 1e-15 to 1e15

# what has the unit of the signals is multiplied by s; 1: results have it too, 0: they have none, 2: they are squares
Case = tuple[int, Callable[[float], Any]]


def shrunk(shrinkage: Callable[[float], Shrinkage], tau: float = 0.0) -> Callable[[float], Any]:
    def call(s: float) -> Any:
        own = shrinkage(s)
        specs = own.scalars(0.3 if tau else 0.3 * s)  # thresholds are multiples of the noise level where there is one
        scalars = {name: jnp.asarray(spec.initial_values(1)[0], jnp.float32) for name, spec in specs.items()}
        return own(jnp.asarray(X * np.float32(s)), scalars, jnp.float32(tau * s) if tau else 1.0)

    return call


SHRINKAGES: dict[str, Case] = {
    "Soft": (1, shrunk(lambda s: Soft())),
    "Hard at a noise level": (1, shrunk(lambda s: Hard(), tau=0.4)),
    "Firm": (1, shrunk(lambda s: Firm())),
    "GroupSoft": (1, shrunk(lambda s: GroupSoft(4))),
    "SupportSelection": (1, shrunk(lambda s: SupportSelection())),
    "NonNegative": (1, shrunk(lambda s: NonNegative())),
    "Box": (1, shrunk(lambda s: Box(-0.5 * s, 0.5 * s))),
    "Identity": (1, shrunk(lambda s: Identity())),
    "Grouped": (1, shrunk(lambda s: Grouped(Soft(), (0,) * 8 + (1,) * 8, (("threshold", (0.1 * s, 0.2 * s)),)))),
    "GroupSoft, penalty": (1, lambda s: GroupSoft(4).penalty(jnp.asarray(X * np.float32(s)))),
}
SQUARED_SHRINKAGES: dict[str, Case] = {
    "BernoulliGaussian": (1, shrunk(lambda s: BernoulliGaussian(variance=s * s), tau=0.1)),
    "BernoulliGaussian, learned": (1, shrunk(lambda s: BernoulliGaussian(variance=s * s, learn_variance=True), 0.1)),
    "BernoulliGaussian without noise": (1, shrunk(lambda s: BernoulliGaussian(variance=s * s), tau=1e-20)),
}
EQUIVARIANT: dict[str, Algorithm] = {"AMP": AMP(Soft()), "AMP computed": AMP(Soft(), onsager="computed")}
EQUIVARIANT |= {
    "AMP groups": AMP(GroupSoft(4)),
    "ISTA adaptive": ISTA(adaptive=True),
    "GradientDescent": GradientDescent(),
}
SCALED = {"ISTA": ISTA(), "FISTA": FISTA(), "ADMM": ADMM(), "ISTA classic": ISTA(parametrisation="classic")}


def own_prior(signals: Any) -> Any:
    """The prior of a user's signals."""
    return Problem.from_arrays(A, signals).prior()


def weighted(algorithm: Any, s: float) -> Algorithm:
    """lambda has the unit of the measurements where the penalty is a norm."""
    return replace(algorithm, regularisation=0.05 * s) if hasattr(algorithm, "regularisation") else algorithm


def networks(algorithm: Algorithm, scaled: bool) -> Callable[[float], Any]:
    return lambda s: Unrolled(weighted(algorithm, s) if scaled else algorithm, A, 3)(Y * np.float32(s))


CASES: dict[str, Case] = {
    **SHRINKAGES,
    **{f"Unrolled {name}": (1, networks(algorithm, scaled=False)) for name, algorithm in EQUIVARIANT.items()},
    **{f"Unrolled {name}": (1, networks(algorithm, scaled=True)) for name, algorithm in SCALED.items()},
    "Unrolled quantised": (1, lambda s: Unrolled(AMP(Soft()), A, 3, activations=Activations(8))(Y * np.float32(s))),
    "solve": (1, lambda s: solve(FISTA(regularisation=0.05 * s), A, Y * np.float32(s), 300, 1e-4).x),
    "solve, iterations": (
        0,
        lambda s: solve(FISTA(regularisation=0.05 * s), A, Y * np.float32(s), 300, 1e-4).iterations,
    ),
    "refine": (1, lambda s: refine(Unrolled(AMP(Soft()), A, 4), Y * np.float32(s), layers=16).x),
    "refine, layers": (0, lambda s: refine(Unrolled(AMP(Soft()), A, 4), Y * np.float32(s), layers=16).layers),
    "noise_level": (1, lambda s: noise_level(jnp.asarray(Y * np.float32(s)), gaussian_blocks(2, 4, 8))),
    "quantise": (1, lambda s: quantise(jnp.asarray(X * np.float32(s)), 4)),
    "normalise": (0, lambda s: normalise(jnp.asarray(X * np.float32(s)))),
    "nmse_db": (0, lambda s: nmse_db(NEAR * np.float32(s), X * np.float32(s))),
    "nmse_db, mean": (0, lambda s: nmse_db(NEAR * np.float32(s), X * np.float32(s), reduction="mean_of_db")),
    "failures": (0, lambda s: failures(NEAR * np.float32(s), X * np.float32(s), -19.0)),
    "psnr_db": (0, lambda s: psnr_db(NEAR * np.float32(s), X * np.float32(s), peak=s)),
    "ssim": (0, lambda s: ssim(IMAGE[:1] * np.float32(s), IMAGE[1:] * np.float32(s), (12, 12), peak=s)),
    "support_recovery_rate": (0, lambda s: support_recovery_rate(NEAR * np.float32(s), X * np.float32(s), 0.3)),
}
SQUARED: dict[str, Case] = {
    **SQUARED_SHRINKAGES,
    "Unrolled AMP": (1, lambda s: Unrolled(AMP(BernoulliGaussian(variance=s * s)), A, 3)(Y * np.float32(s))),
    "solve, objective": (
        2,
        lambda s: solve(FISTA(regularisation=0.05 * s), A, Y * np.float32(s), 5, iterates=True).objective,
    ),
    "a user's prior": (2, lambda s: np.float32(own_prior(X * np.float32(s)).variance)),
    "banded_prior": (2, lambda s: np.asarray(banded_prior(X * np.float32(s), (0,) * 8 + (1,) * 8).initial[0][1])),
}


def check(case: Case, s: float, tolerance: float) -> None:
    unit, call = case
    found, expected = (np.asarray(call(scale), np.float64) for scale in (s, 1.0))
    assert np.isfinite(expected).all()
    assert unit == 0 or np.abs(expected).max() > 0
    np.testing.assert_allclose(found / s**unit, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
@settings(deadline=None, max_examples=8)
@given(s=VALUES)
def test_values_in_other_units(case: str, s: float) -> None:
    check(CASES[case], s, 1e-6 if "ISTA" not in case and "ADMM" not in case else 1e-5)


@pytest.mark.parametrize("case", SQUARED)
@settings(deadline=None, max_examples=8)
@given(s=SQUARES)
def test_squares_in_other_units(case: str, s: float) -> None:
    check(SQUARED[case], s, 1e-5)


@pytest.mark.parametrize("s", [1e-20, 1e-6, 1e6, 1e20])
def test_the_stopping_rule_has_no_unit(s: float) -> None:
    """Powers of ten are rounded, so that a count may move by one."""
    counts = [
        int(solve(FISTA(regularisation=0.05 * scale), A, Y * np.float32(scale), 2000, 1e-5).iterations)
        for scale in (1.0, s)
    ]
    assert counts[0] > 100
    assert abs(counts[0] - counts[1]) <= 1


@pytest.mark.long
@pytest.mark.parametrize("s", [1e-30, 1e-12, 1.0, 1e12, 1e30])
@pytest.mark.parametrize("name", [*EQUIVARIANT, *SCALED])
def test_gradients_in_other_units(name: str, s: float) -> None:
    """d f / d y has no unit: it is the same matrix at every scale, and finite at 0."""
    algorithm = EQUIVARIANT[name] if name in EQUIVARIANT else SCALED[name]

    def slope(s: float, y: np.ndarray) -> np.ndarray:
        net = Unrolled(weighted(algorithm, s) if name in SCALED else algorithm, A, 3)
        return np.asarray(jax.grad(lambda y: jnp.sum(net(y)))(jnp.asarray(y * np.float32(s))))

    expected = slope(1.0, Y)
    np.testing.assert_allclose(slope(s, Y), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert np.isfinite(slope(s, 0 * Y)).all()


@pytest.mark.long
def test_silent_measurements_have_finite_gradients() -> None:
    """Also of every scalar and latent: ||v|| at v = 0, tau -> 0."""
    for shrinkage in (BernoulliGaussian(), BernoulliGaussian(learn_variance=True), GroupSoft(4), Firm(), Soft()):
        net = Unrolled(AMP(shrinkage), A, 3)
        gradient = jax.grad(
            lambda net: jnp.sum(net(jnp.zeros((2, 8))) + net(jnp.ones((2, 8)) * 1e-30)), allow_int=True
        )(net)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_thresholds_of_any_size_can_be_learned() -> None:
    """A threshold that starts at 5e-14 is not the threshold 1e-12."""
    for weight in (1e-30, 5e-14, 1.0, 1e30):
        spec = Soft().scalars(weight)["threshold"]
        np.testing.assert_allclose(np.exp(spec.raw(spec.initial_values(2))), weight, rtol=1e-12)
    zero = Soft().scalars(0.0)["threshold"]
    assert np.exp(zero.raw(zero.initial_values(1))) < 1e-37


@pytest.mark.parametrize("s", [1e-15, 1e-6, 1e6, 1e15])
def test_priors_of_a_users_signals_follow_their_unit(s: float) -> None:
    assert own_prior(X * s).variance == pytest.approx(own_prior(X).variance * s * s, rel=1e-5)
    assert own_prior(0 * X).variance > 0
