"""The same signals in other units are the same training: no floor, clip or step knows volts from microvolts."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import GradientDescent, Stage, Unrolled, fit
from unrollbit.operators import gaussian
from unrollbit.problems import Problem
from unrollbit.training import Distillation, LayerwiseLogNMSE, LogNMSE, MeanSquaredError
from unrollbit.training.losses import batch_nmse
from unrollbit.training.validation import power_of_two
from unrollbit.variables import TRAINED

A = gaussian(16, 8)
X = np.random.RandomState(0).randn(200, 8).astype(np.float32)
UNITS = (2.0**-50, 1e-15, 1e15)
LOSSES = {"default": LayerwiseLogNMSE(), "mean squared error": MeanSquaredError()}


def trained(unit: float, loss) -> tuple[list[float], list[np.ndarray], float]:
    """Losses, trained variables, and NMSE of a network of signals in a unit."""
    problem = Problem.from_arrays(A, X * np.float32(unit))
    net = Unrolled(GradientDescent(), problem, 2)
    report = fit(net, problem, Stage(12, batch=16, loss=loss), chunk=1, progress=False)
    variables = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(net, TRAINED))]
    return [record["loss"] for record in report.records], variables, report.nmse_db


@pytest.fixture(scope="module", params=LOSSES)
def case(request: pytest.FixtureRequest):
    loss = LOSSES[request.param]
    return loss, trained(1.0, loss)


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS)
def test_training_does_not_depend_on_units(case, unit: float) -> None:
    loss, (losses, variables, level) = case
    own_losses, own_variables, own_level = trained(unit, loss)
    if unit == 2.0**-50:  # scaling by powers of two rounds nothing
        assert own_losses == losses
    if loss != MeanSquaredError():  # whose value is in units of a power of two near the signals'
        np.testing.assert_allclose(own_losses, losses, rtol=1e-4)
    for mine, theirs in zip(own_variables, variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)
    assert own_level == pytest.approx(level, abs=1e-2)


@pytest.mark.long
@pytest.mark.parametrize("unit", UNITS)
def test_losses_do_not_depend_on_units(unit: float) -> None:
    random = np.random.RandomState(1)
    estimates, teacher, x = (jnp.asarray(random.randn(*shape), jnp.float32) for shape in ((3, 4, 8), (3, 4, 8), (4, 8)))
    estimates = estimates.at[:, 0].set(0.0)  # one signal without a direction
    for loss in (
        LayerwiseLogNMSE(),
        LogNMSE(),
        Distillation(),
        Distillation(agreement="direction"),
        Distillation(hard=0.0, output=0.0, agreement="direction"),
    ):
        value, gradient = jax.value_and_grad(loss)(estimates, x, teacher)
        scaled = [part * unit for part in (estimates, x, teacher)]
        own_value, own_gradient = jax.value_and_grad(loss)(*scaled)
        assert float(own_value) == pytest.approx(float(value), rel=1e-5)
        np.testing.assert_allclose(own_gradient * unit, gradient, rtol=1e-4, atol=1e-6)


def test_a_batch_of_zeros_has_no_size_to_measure_by() -> None:
    zero, one = jnp.zeros((2, 3)), jnp.ones((2, 3))
    assert batch_nmse(jnp.stack([zero, one]), zero).tolist() == [0.0, 1.0]
    gradient = jax.grad(lambda estimates: jnp.sum(batch_nmse(estimates, zero)))(jnp.stack([zero, one]))
    assert not np.asarray(gradient).any()


def test_the_unit_is_the_nearest_power_of_two() -> None:
    for size in (1e-30, 3e-7, 1.0, 1.5, 4e29):
        unit = power_of_two(np.full((3, 4), size, np.float32))
        assert np.frexp(unit)[0] == 0.5
        assert 2**-0.5 <= size / unit <= 2**0.5
    assert power_of_two(np.zeros(3)) == 1.0
