"""The recipe of distilled students."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullyConnected, Unrolled, pack, recipes
from unrollbit.formats import Fixed, Format, FullPrecision, LittleBit, OneBit, OneBitSVID, Ternary
from unrollbit.networks import Activations
from unrollbit.operators import gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Distillation
from unrollbit.training.check import check_run
from unrollbit.training.distilled import matrices

PROBLEM = SparseRecovery(8, 16, seed=1)
run = jax.jit(lambda net, y: net(y))


def network(depth: int = 2, weights: Any = OneBit(), seed: int = 0) -> Unrolled:
    """A network whose layers differ from those of other seeds."""
    net = Unrolled(ISTA(regularisation=0.05), PROBLEM, depth, weights)
    random = np.random.RandomState(seed)
    for variable in net.scalars.values():
        variable[...] = variable[...] + 0.1 * jnp.asarray(random.standard_normal(variable.shape), jnp.float32)
    return net


@pytest.fixture(scope="module")
def amp() -> Unrolled:
    """A teacher whose columns are normalised, with matrices away from A."""
    net = recipes.full_precision(PROBLEM, 4).network
    random = np.random.RandomState(3)
    for variable in (net.maps["W"].leaf.variables["values"], *net.scalars.values()):
        variable[...] = variable[...] * (1 + 0.3 * jnp.asarray(random.standard_normal(variable.shape), jnp.float32))
    return net


TINY = LittleBit(bits_per_weight=4.0, multiple=1)


@pytest.mark.long
@pytest.mark.parametrize(
    "weights",
    [OneBit(), OneBitSVID(), Ternary(), TINY, FullPrecision(), Fixed()],
    ids=lambda value: type(value).__name__,
)
def test_students_of_any_format_start_at_the_teacher(amp: Unrolled, weights: Format) -> None:
    student, stages = recipes.distilled(PROBLEM, amp, weights=weights, steps=7, batch=4)
    inner = student.maps["W"].leaf
    assert inner.format == weights
    assert (student.depth, student.algorithm) == (4, amp.algorithm)
    for name, variable in amp.scalars.items():
        np.testing.assert_array_equal(student.scalars[name][...], variable[...])
    if weights == FullPrecision():
        np.testing.assert_allclose(run(student, jnp.ones(8)), run(amp, jnp.ones(8)), rtol=1e-3, atol=1e-4)
    if weights == OneBit():
        np.testing.assert_array_equal(jnp.sign(inner.dense()), jnp.sign(amp.maps["W"].dense()))
    assert [stage.steps for stage in stages] == [7]
    assert stages[0].loss == Distillation()
    check_run(student, PROBLEM, stages, teacher=amp)


def test_students_of_fewer_layers_and_matrices(amp: Unrolled) -> None:
    dense = np.asarray(amp.maps["W"].dense())
    np.testing.assert_array_equal(matrices(amp.maps["W"], 3), dense[:3])
    options: dict[str, Any] = {"weights": OneBit(), "activations": Activations(bits=8)}
    student = recipes.distilled(PROBLEM, amp, 3, distinct=2, **options).network
    assert (student.depth, student.maps["W"].copies, student.activations) == (3, 2, Activations(bits=8))
    wanted = [dense[[0, 2]].mean(0), dense[1]]
    np.testing.assert_array_equal(jnp.sign(student.maps["W"].inner.dense()), np.sign(wanted))
    assert all(len(variable[...]) == 3 for variable in student.scalars.values())
    tied = Unrolled(ISTA(), PROBLEM, 4, distinct=1)
    assert recipes.distilled(PROBLEM, tied).network.maps["W"].copies == 1  # as many as the teacher's


def test_students_of_several_maps_and_of_packed_networks() -> None:
    classic = Unrolled(ISTA(parametrisation="classic"), PROBLEM, 2, FullPrecision())
    student = recipes.distilled(PROBLEM, pack(classic).network).network
    assert {name: held.format for name, held in student.maps.items()} == {"W1": OneBit(), "W2": OneBit()}
    for name, held in student.maps.items():
        np.testing.assert_array_equal(jnp.sign(held.dense()), jnp.where(classic.maps[name].dense() >= 0, 1, -1))


@pytest.mark.parametrize(
    ("teacher", "depth", "message"),
    [
        (network(2), 3, "depth, at most the teacher's: expected an integer from 1 to 2, got 3"),
        (network(2), 0, "expected an integer from 1 to 2, got 0"),
        (network(2), True, "expected an integer from 1 to 2, got True"),
        (FullyConnected(PROBLEM, 2), None, "expected an Unrolled network as teacher, got FullyConnected: its layers"),
        (pack(network(2)), None, r"got PackedNetwork: take its .network or .trainable\(\)"),
        (Unrolled(AMP(), gaussian(9, 16), 2), None, r"physics of shape \(9, 16\), A has \(8, 16\)"),
    ],
)
def test_wrong_teachers_of_the_recipe(teacher: Any, depth: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recipes.distilled(PROBLEM, teacher, depth)
