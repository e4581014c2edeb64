"""Stages, losses and recipes: values by hand, validation, specs."""

from __future__ import annotations

import inspect
import json
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, Activations, Stage, Unrolled, recipes
from unrollbit.formats import Anchored, Designed, Fixed, FullPrecision, Normalised, OneBit, SignalDomain
from unrollbit.operators import Composition, Hadamard, Rademacher, SubsampledDCT, gaussian
from unrollbit.training import Distillation, LayerwiseLogNMSE, LogNMSE, Loss, MeanSquaredError, grown
from unrollbit.training.recipes import designed_signs, full_precision, scalars_only, two_stage

# two layers, two signals of two unknowns; ||x||^2 = 100 in all
X = jnp.array([[6.0, 0.0], [0.0, 8.0]])
ESTIMATES = jnp.stack([jnp.zeros((2, 2)), X + jnp.array([[1.0, 0.0], [0.0, 0.0]])])  # NMSE 1 and 0.01


def test_losses_by_hand() -> None:
    assert float(LayerwiseLogNMSE()(ESTIMATES, X, None)) == pytest.approx(0 + 4 * -2, rel=1e-6)
    assert float(LayerwiseLogNMSE(last=1.0)(ESTIMATES, X, None)) == pytest.approx(-2, rel=1e-6)
    assert float(LogNMSE()(ESTIMATES, X, None)) == pytest.approx(-2, rel=1e-6)
    assert float(LogNMSE(floor=0.99)(ESTIMATES, X, None)) == pytest.approx(0, abs=1e-6)
    assert float(MeanSquaredError()(ESTIMATES[-1:], X, None)) == pytest.approx(0.25)
    assert float(MeanSquaredError(per_layer=True)(ESTIMATES, X, None)) == pytest.approx(25 + 0.25)


def test_losses_are_finite_at_exact_and_empty_signals() -> None:
    assert float(LayerwiseLogNMSE()(jnp.stack([X, X]), X, None)) == pytest.approx(5 * -13, rel=1e-5)
    zero = jnp.zeros_like(X)
    for loss in (LayerwiseLogNMSE(), LogNMSE(), MeanSquaredError()):
        assert np.isfinite(float(loss(jnp.zeros((2, 2, 2)), zero, None)))


def test_losses_say_what_they_need() -> None:
    assert [loss.per_layer for loss in (LayerwiseLogNMSE(), LogNMSE(), MeanSquaredError())] == [True, False, False]
    assert not any(loss.needs_teacher for loss in (LayerwiseLogNMSE(), LogNMSE(), MeanSquaredError()))
    for loss in (LogNMSE(1e-9), MeanSquaredError(per_layer=True), LayerwiseLogNMSE(2.0)):
        assert Loss.from_spec(json.loads(json.dumps(loss.to_spec()))) == loss


WRONG_STAGES = [
    ({"steps": 0}, "expected an integer steps >= 1, got 0"),
    ({"steps": 2.5}, "expected an integer steps >= 1, got 2.5"),
    ({"steps": True}, "expected an integer steps >= 1, got True"),
    ({"batch": 0}, "expected an integer batch >= 1, got 0"),
    ({"depth": 0}, "expected an integer depth >= 1, got 0"),
    ({"rates": {}}, r"expected kinds among \['matrices', 'scalars', 'scales', 'signs'\], got \[\]"),
    ({"rates": {"weights": 1e-3}}, r"got \['weights'\]"),
    ({"rates": {"signs": 0.0}}, "expected learning rates > 0"),
    ({"rates": {"signs": -1e-3}}, "expected learning rates > 0"),
    ({"rates": {"signs": float("nan")}}, "expected learning rates > 0"),
    ({"rates": {"signs": float("inf")}}, "expected learning rates > 0"),
    ({"warmup": 1.0}, "expected 0 <= warmup < 1 and clip > 0, got 1.0"),
    ({"warmup": -0.1}, "warmup"),
    ({"clip": 0.0}, "clip"),
    ({"clip": float("nan")}, "clip"),
]


@pytest.mark.parametrize(("options", "message"), WRONG_STAGES)
def test_wrong_stages_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stage(**{"steps": 10, **options})
    with pytest.raises(ValueError, match=message):
        Stage.from_spec({"steps": 10, **options})


def test_stage_specs_pass_through_json() -> None:
    stages = (
        Stage(7),
        Stage(
            3,
            depth=2,
            rates={"signs": 1e-4},
            quantised=False,
            batch=12,
            loss=Distillation(MeanSquaredError(), layers=0.5),
            clip=1.0,
            warmup=0.5,
            betas=(0.8, 0.95),
            name="last",
        ),
    )
    for stage in stages:
        assert Stage.from_spec(json.loads(json.dumps(stage.to_spec()))) == stage
    assert Stage.from_spec({"steps": 5}) == Stage(5)
    for spec, message in (
        ({"steps": 5, "epochs": 3}, "epochs"),
        ({}, "steps"),
        ({"steps": "5"}, "steps"),
        ({"steps": 5, "loss": {"kind": "L1"}}, "unknown kind of Loss 'L1'"),
    ):
        with pytest.raises(ValueError, match=message):
            Stage.from_spec(spec)


def test_growth() -> None:
    stages = grown(16, 1000, batch=8)
    assert [stage.depth for stage in stages] == [2, 4, 8, 12, 16]
    assert [stage.steps for stage in stages] == pytest.approx([120, 140, 200, 240, 300], abs=40)
    assert sum(stage.steps for stage in stages) == pytest.approx(1000, abs=3)
    assert all(stage.batch == 8 for stage in stages)
    assert [stage.depth for stage in grown(1, 10)] == [1]
    assert [stage.depth for stage in grown(3, 10)] == [2, 3]
    assert [stage.depth for stage in grown(8, 10)] == [2, 4, 8]
    assert [stage.depth for stage in grown(40, 100)] == [2, 4, 8, 12, 16, 24, 32, 40]
    assert all(stage.steps >= 1 for stage in grown(64, 3))
    steps = [stage.steps for stage in grown(64, 5000)]
    assert steps == sorted(steps)
    assert sum(steps) == pytest.approx(5000, abs=5)


A = gaussian(8, 16)


def test_two_stage_recipe() -> None:
    recipe = two_stage(A, 4, steps=100, batch=16, distinct=2, loss=LogNMSE())
    weights = recipe.network.maps["W"]
    assert weights.format == Normalised(OneBit())  # AMP's map has a unit diagonal
    assert (weights.copies, recipe.network.depth) == (2, 4)
    assert [stage.quantised for stage in recipe.stages] == [False, False, True, True]
    assert set(recipe.stages[2].rates) == {"scalars", "scales"}  # signs stay: the scalars are fitted to them
    assert sum(stage.steps for stage in recipe.stages) == pytest.approx(100, abs=2)
    assert recipe.stages[-1].depth is None
    assert all(stage.batch == 16 and stage.loss == LogNMSE() for stage in recipe.stages)
    assert two_stage(A, 2, planes=2).network.maps["W"].format == Normalised(OneBit(planes=2))
    assert two_stage(A, 2, algorithm=ISTA()).network.maps["W"].format == OneBit()


@pytest.mark.long
@pytest.mark.parametrize("m", [8, 16], ids=["wide", "square"])
def test_two_stage_recipe_of_composed_physics(m: int) -> None:
    """Signs live in the domain of the signal, but for maps that have none."""
    composed = Composition.of(Rademacher(m, 16), SubsampledDCT.random(16, 16).T)
    assert two_stage(composed, 2).network.maps["W"].format == Normalised(SignalDomain(OneBit()))
    classic = two_stage(composed, 2, algorithm=ISTA(parametrisation="classic")).network
    assert all(weights.format == OneBit() for weights in classic.maps.values())
    assert classic(jnp.ones(m)).shape == (16,)


@pytest.mark.long
def test_designed_signs_recipe() -> None:
    untied, tied, planes = (
        designed_signs(A, 3),
        designed_signs(A, 3, distinct=1),
        designed_signs(A, 3, planes=2, distinct=2),
    )
    assert set(untied.stages[0].rates) == {"scalars", "signs"}
    assert set(tied.stages[0].rates) == {"scalars"}
    assert set(planes.stages[0].rates) == {"scalars", "scales"}
    for recipe, bits in ((untied, 3 * 128), (tied, 128), (planes, 2 * 2 * 128 + 64)):
        weights = recipe.network.maps["W"]
        assert isinstance(weights.format, Normalised)
        assert weights.bits() == bits
        np.testing.assert_allclose(jnp.sum(weights.dense() * A.dense(), axis=1), 1.0, rtol=1e-4)
    assert recipes.designed_signs is designed_signs


def test_designed_signs_recipe_around_the_physics() -> None:
    tied, untied = designed_signs(A, 3, anchored=True, distinct=1), designed_signs(A, 3, anchored=True, noise=0.2)
    assert set(tied.stages[0].rates) == {"scalars", "scales"}
    assert set(untied.stages[0].rates) == {"scalars", "scales", "signs"}
    for recipe, bits in ((tied, 128 + 32), (untied, 3 * 128 + 32)):
        weights = recipe.network.maps["W"]
        assert isinstance(weights.format, Normalised)
        assert isinstance(weights.format.inner, Anchored)
        assert weights.bits() == bits
        np.testing.assert_allclose(jnp.sum(weights.dense() * A.dense(), axis=1), 1.0, rtol=1e-4)
        np.testing.assert_allclose(weights.inner.dense() - A.dense(), weights.inner.inner.dense(), atol=1e-6)


def test_other_recipes() -> None:
    fixed = scalars_only(Hadamard(8, 16), 3, weights=Fixed())
    assert fixed.network.maps["W"].bits() == 0
    assert all(set(stage.rates) == {"scalars"} for stage in fixed.stages)
    signs = scalars_only(A, 3, weights=Designed(), algorithm=AMP())
    assert (signs.network.maps["W"].bits(), signs.network.maps["W"].copies) == (128, 1)
    floats = full_precision(A, 3)
    assert floats.network.maps["W"].format == Normalised(FullPrecision())
    assert floats.network.maps["W"].bits() == 3 * 32 * 128


RECIPES = {
    "default": recipes.default,
    "two_stage": two_stage,
    "designed_signs": designed_signs,
    "learned_signs": recipes.learned_signs,
    "scalars_only": partial(scalars_only, weights=OneBit()),
    "full_precision": full_precision,
    "distilled": partial(recipes.distilled, teacher=Unrolled(ISTA(), A, 2)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_share_their_options(name: str) -> None:
    recipe, fixed = RECIPES[name], {"scalars_only": "distinct", "distilled": "algorithm"}.get(name)
    shared = {"algorithm", "physics", "activations", "distinct", "batch", "loss"} - {fixed}
    assert shared <= set(inspect.signature(recipe).parameters)
    with pytest.raises(ValueError, match=rf"recipes.{name}: unknown 'stepz' \(did you mean 'steps'\?\); it takes"):
        recipe(A, stepz=3)
    if fixed is not None:
        with pytest.raises(ValueError, match=f"unknown '{fixed}'"):
            recipe(A, **{fixed: 1})
    options = {"batch": 5, "loss": LogNMSE(), "activations": Activations(8)} | ({} if fixed else {"distinct": 1})
    made = recipe(A, depth=2, steps=8, **options)
    assert {(stage.batch, stage.loss) for stage in made.stages} == {(5, LogNMSE())}
    assert made.network.activations == Activations(8)
    assert fixed == "algorithm" or made.network.maps["W"].copies == 1
