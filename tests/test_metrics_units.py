"""Scores, tuned weights, baselines and the dB in figures are the same in all units of the signals and the physics."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import ADMM, ISTA
from unrollbit.baselines import BIHT, Classic, tune
from unrollbit.metrics import failures, nmse_db, psnr_db, ssim, support_recovery_rate
from unrollbit.operators import Dense
from unrollbit.plots.images import _psnr
from unrollbit.plots.signals import _nmse

POWERS = st.integers(-15, 15)
RANDOM = np.random.RandomState(0)
X = RANDOM.randn(4, 256).astype(np.float32) * (RANDOM.rand(4, 256) < 0.3)
X_HAT = X + 0.1 * RANDOM.randn(4, 256).astype(np.float32) * (X != 0)

SCORES = {
    "ratio": lambda x_hat, x, _: nmse_db(x_hat, x),
    "mean of dB": lambda x_hat, x, _: nmse_db(x_hat, x, reduction="mean_of_db"),
    "failures": lambda x_hat, x, _: failures(x_hat, x, -15.0),
    "PSNR": lambda x_hat, x, unit: psnr_db(x_hat, x, peak=unit),
    "SSIM": lambda x_hat, x, unit: ssim(x_hat, x, (16, 16), peak=unit),
    "support": lambda x_hat, x, _: support_recovery_rate(x_hat, x),
}


@pytest.mark.long
@pytest.mark.parametrize("name", SCORES)
@settings(max_examples=15, deadline=None)
@given(power=POWERS)
def test_scores_do_not_depend_on_the_unit(name, power):
    unit = float(10.0**power)
    wanted = float(SCORES[name](jnp.asarray(X_HAT), jnp.asarray(X), 1.0))
    found = float(SCORES[name](jnp.asarray(X_HAT * np.float32(unit)), jnp.asarray(X * np.float32(unit)), unit))
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(power=st.integers(-30, 30))
def test_the_db_in_figures_does_not_depend_on_the_unit(power):
    unit = np.float32(10.0**power)
    assert _nmse(X_HAT[0] * unit, X[0] * unit) == _nmse(X_HAT[0], X[0])
    image, truth = (np.abs(each[0]).reshape(16, 16) for each in (X_HAT, X))
    assert _psnr(image * unit, truth * unit, float(unit)) == _psnr(image, truth, 1.0)


A = (RANDOM.randn(12, 24) / np.sqrt(12)).astype(np.float32)
SPARSE = np.where(RANDOM.rand(6, 24) < 0.1, RANDOM.randn(6, 24), 0).astype(np.float32)
POWERS_OF_A = (-15, -9, -6, 6, 9, 15)


@pytest.mark.parametrize("power", POWERS_OF_A)
def test_the_tuned_weight_is_the_same_in_all_units(power):
    """lambda is in units of A^T y."""
    unit = np.float32(10.0**power)

    def tuned(unit):
        return tune(Classic(ISTA(), 30), Dense.of(jnp.asarray(A)), SPARSE * unit, SPARSE @ A.T * unit, count=3)

    first, second = tuned(np.float32(1)), tuned(unit)
    np.testing.assert_allclose(second.nmse_db, first.nmse_db, atol=1e-2)
    weights = [[trial.parameters["regularisation"] for trial in each.trials] for each in (first, second)]
    np.testing.assert_allclose(np.array(weights[1]) / unit, weights[0], rtol=1e-4)


@pytest.mark.parametrize("power", POWERS_OF_A)
def test_the_tuned_penalty_is_the_same_in_all_units_of_the_physics(power):
    """rho is in units of ||A||^2, lambda in those of A^T y."""
    unit = np.float32(10.0 ** (power / 2))

    def tuned(unit):
        B = A * unit
        return tune(Classic(ADMM(), 10), Dense.of(jnp.asarray(B)), SPARSE, SPARSE @ B.T, count=3)

    first, second = tuned(np.float32(1)), tuned(unit)
    np.testing.assert_allclose(second.nmse_db, first.nmse_db, atol=1e-2)
    assert second.baseline.algorithm.rho == pytest.approx(first.baseline.algorithm.rho * float(unit) ** 2, rel=1e-3)


@pytest.mark.parametrize("power", [-30, -20, *POWERS_OF_A, 20, 30])
def test_signs_are_recovered_alike_in_all_units_of_the_physics(power):
    unit = np.float32(10.0**power)
    y = jnp.sign(jnp.asarray(SPARSE[:3] @ A.T))
    wanted, found = (BIHT(2, iterations=20)(Dense.of(jnp.asarray(A * scale)), y) for scale in (np.float32(1), unit))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
