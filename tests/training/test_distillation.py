"""Distillation: the loss by hand, what it needs of student and teacher, and runs that resume."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, ISTA, FullyConnected, Stage, Unrolled, fit, load, pack
from unrollbit.formats import Coherent, Fixed, FullPrecision, OneBit
from unrollbit.networks import Activations
from unrollbit.operators import gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Distillation, LayerwiseLogNMSE, LogNMSE, Loss, MeanSquaredError
from unrollbit.training.check import check_run
from unrollbit.training.fingerprint import run_fingerprint
from unrollbit.training.program import _followed

# two layers, two signals of two unknowns; ||x||^2 = 100 in all
X = jnp.array([[6.0, 0.0], [0.0, 8.0]])
ESTIMATES = jnp.stack([jnp.zeros((2, 2)), X + jnp.array([[1.0, 0.0], [0.0, 0.0]])])
TEACHER = jnp.stack([2 * X, X])
soft = partial(Distillation, hard=0.0)
PROBLEM = SparseRecovery(8, 16, seed=1)
quiet = partial(fit, progress=False)
run = jax.jit(lambda net, y: net(y))
DIRECTION = ((0.5 - 1) ** 2 + (np.sqrt(3) / 2) ** 2 + 2.0) / 2  # 60 degrees for one signal, 90 for the other


def network(depth: int = 2, weights: Any = OneBit(), seed: int = 0) -> Unrolled:
    """A network whose layers differ from those of other seeds."""
    net = Unrolled(ISTA(regularisation=0.05), PROBLEM, depth, weights)
    random = np.random.RandomState(seed)
    for variable in net.scalars.values():
        variable[...] = variable[...] + 0.1 * jnp.asarray(random.standard_normal(variable.shape), jnp.float32)
    return net


def leaves(net: Any) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(net)]


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (Distillation(LogNMSE()), -2 + 0.01 + 1.0),
        (Distillation(LogNMSE(), hard=3.0, output=10.0, layers=0.5), -6 + 0.1 + 0.5),
        (Distillation(LayerwiseLogNMSE(last=4.0), output=0.0, layers=0.0), -8),
        (Distillation(LogNMSE(), layers=0.0), -2 + 0.01),
        (Distillation(MeanSquaredError(), output=0.0), 0.25 + 1.0),  # the base sees the last layer alone
        (Distillation(MeanSquaredError(per_layer=True), output=0.0), 25.25 + 1.0),
        (soft(), 1.01),
        (soft(layers=0.0), 0.01),
        (soft(output=0.0, layers=2.0), 2.0),
        (soft(output=0.0, agreement="direction"), 1.0),  # a zero vector has the direction 0
    ],
)
def test_the_loss_by_hand(loss: Distillation, expected: float) -> None:
    teacher = TEACHER if loss.teacher_per_layer else TEACHER[-1:]
    estimates = ESTIMATES if loss.per_layer else ESTIMATES[-1:]
    assert float(loss(estimates, X, teacher if loss.needs_teacher else None)) == pytest.approx(expected, rel=1e-5)


def test_directions_by_hand() -> None:
    student = jnp.array([[[5.0, 5 * np.sqrt(3)], [7.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]])
    loss = soft(output=0.0, agreement="direction")
    assert float(loss(student, X, TEACHER)) == pytest.approx(DIRECTION, rel=1e-6)
    opposite = jnp.stack([-3 * X, X])
    assert float(loss(opposite, X, TEACHER)) == pytest.approx(4.0, rel=1e-6)  # the largest there is


@pytest.mark.parametrize("agreement", ["nmse", "direction"])
def test_gradients_are_finite_at_zero_vectors(agreement: Any) -> None:
    loss, zero = jax.jit(soft(agreement=agreement)), jnp.zeros((3, 2, 2))
    both = jax.jit(jax.value_and_grad(loss))
    some = jnp.concatenate([TEACHER[:1], zero[:1], TEACHER[-1:]])
    for estimates, teacher in ((zero, some), (some, zero), (zero, zero), (some, some)):
        value, gradient = both(estimates, X, teacher)
        assert bool(jnp.isfinite(value))
        assert bool(jnp.isfinite(gradient).all())
        assert float(jnp.abs(gradient).max()) < 1e3  # not the reciprocal of a tiny norm either
    assert float(loss(zero, X, zero)) == 0.0
    assert float(loss(some, X, some)) < 1e-12


SIZES = st.lists(st.floats(0.125, 8, width=32), min_size=2, max_size=2)


@settings(max_examples=20, deadline=None)
@given(SIZES, st.integers(0, 100))
def test_directions_ignore_the_size_of_each_sample_and_nmse_the_unit(sizes: list[float], seed: int) -> None:
    student, teacher = (jnp.asarray(part, jnp.float32) for part in np.random.RandomState(seed).randn(2, 3, 2, 4))
    direction, nmse = soft(output=0.0, agreement="direction"), soft()
    scales = jnp.array(sizes)[:, None]
    expected = float(direction(student, X, teacher))
    assert float(direction(student * scales, X, teacher)) == pytest.approx(expected, rel=1e-4)
    assert float(direction(student, X, teacher * scales)) == pytest.approx(expected, rel=1e-4)
    assert 0 <= expected <= 2 * 4
    unit = sizes[0]
    assert float(nmse(unit * student, X, unit * teacher)) == pytest.approx(float(nmse(student, X, teacher)), rel=1e-4)


def test_the_loss_says_what_it_needs() -> None:
    for loss, per_layer, needs_teacher, teacher_per_layer in (
        (Distillation(), True, True, True),
        (Distillation(layers=0.0), True, True, False),
        (Distillation(LogNMSE(), layers=0.0), False, True, False),
        (soft(layers=0.0), False, True, False),
        (Distillation(LogNMSE()), True, True, True),
        (Distillation(LogNMSE(), output=0.0, layers=0.0), False, False, False),
    ):
        assert (loss.per_layer, loss.needs_teacher, loss.teacher_per_layer) == (
            per_layer,
            needs_teacher,
            teacher_per_layer,
        )
    with pytest.raises(ValueError, match=r"Distillation: no teacher; pass fit\(..., teacher=network\)"):
        Distillation()(ESTIMATES, X, None)


def test_specs_pass_through_json() -> None:
    for loss in (Distillation(), Distillation(LogNMSE(1e-9), 0.5, 0.0, 2.0, "direction")):
        assert Loss.from_spec(json.loads(json.dumps(loss.to_spec()))) == loss
        stage = Stage(3, loss=loss)
        assert Stage.from_spec(json.loads(json.dumps(stage.to_spec()))) == stage
    assert set(Distillation().to_spec()) == {"kind", "base", "hard", "output", "layers", "agreement"}
    with pytest.raises(ValueError, match="Distillation has no field 'weight'"):
        Loss.from_spec({"kind": "Distillation", "weight": 1.0})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hard": -1.0}, "Distillation hard: expected a weight >= 0, got -1.0"),
        ({"output": -0.1}, "Distillation output: expected a weight >= 0"),
        ({"layers": float("nan")}, "Distillation layers: expected a weight >= 0, got nan"),
        ({"layers": float("inf")}, "Distillation layers"),
        ({"layers": True}, "layers: expected a float, got True"),
        ({"layers": "1"}, "layers: expected a float, got '1'"),
        ({"hard": 0.0, "output": 0.0, "layers": 0.0}, "all 0, so nothing is left to train for"),
        ({"agreement": "cosine"}, "agreement: expected one of 'nmse', 'direction', got 'cosine'"),
        ({"base": Distillation()}, "Distillation base: expected a loss of the signals alone, got Distillation"),
        ({"base": "LogNMSE"}, "base: expected a Loss, got 'LogNMSE'; write LogNMSE()"),
    ],
)
def test_wrong_losses_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Distillation(**fields)


def test_a_student_follows_the_output_of_a_deeper_teacher_and_its_first_layers() -> None:
    layers = jnp.arange(24.0).reshape(4, 2, 3)

    def teacher(y: jax.Array, iterates: bool = False) -> jax.Array:
        return layers if iterates else layers[-1]

    for depth, per_layer, expected in ((3, True, [0, 1, 3]), (3, False, [3]), (1, True, [3]), (4, True, [0, 1, 2, 3])):
        followed = _followed(teacher, X, depth, per_layer)  # pyright: ignore[reportArgumentType]
        np.testing.assert_array_equal(followed, layers[np.array(expected)])


@pytest.mark.slow
def test_a_student_comes_closer_to_its_teacher_and_resumes_with_no_other(tmp_path: Path) -> None:
    """With nothing but the teacher to follow, and 8-bit activations on the way; the teacher stays as it is."""
    teacher = network(3, FullPrecision(), seed=1)
    net = Unrolled(ISTA(regularisation=0.3), PROBLEM, 2, activations=Activations(bits=8))
    y = PROBLEM.sample(jax.random.key(5), 300)[1]

    def distance() -> float:
        return float(jnp.sum((run(net, y) - run(teacher, y)) ** 2) / jnp.sum(run(teacher, y) ** 2))

    before, frozen = distance(), leaves(teacher)
    stages = [Stage(60, batch=16, loss=soft(), rates={"scalars": 0.1, "scales": 1e-2, "signs": 1e-2})]
    quiet(net, PROBLEM, stages, teacher=teacher, out=tmp_path)
    assert distance() < 0.5 * before
    assert all(np.array_equal(a, b) for a, b in zip(leaves(teacher), frozen, strict=True))
    with pytest.raises(ValueError, match=r"started otherwise: teacher.content was .* now"):
        quiet(net, PROBLEM, stages, teacher=network(3, FullPrecision(), seed=2), out=tmp_path, resume=True)


def test_fully_connected_networks_follow_and_are_followed() -> None:
    unrolled, fully = network(2), FullyConnected(PROBLEM, 2)
    check_run(fully, PROBLEM, [Stage(2, loss=Distillation(LogNMSE(), layers=0.0))], teacher=unrolled)
    check_run(unrolled, PROBLEM, [Stage(2, loss=Distillation(layers=0.0))], teacher=fully)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"loss Distillation needs fit\(..., teacher=network\), or in a config the line teacher = "),
        ({"teacher": network(1)}, "teacher has 1 layers, fewer than the 2 trained; use Distillation.layers=0.0."),
        ({"teacher": FullyConnected(PROBLEM, 4)}, "the teacher, FullyConnected, has no estimate per layer"),
        ({"teacher": Unrolled(AMP(), gaussian(9, 16), 2)}, r"physics of shape \(9, 16\), the network for \(8, 16\)"),
        ({"teacher": network(2), "loss": LogNMSE()}, "there is a teacher, but no stage follows it"),
        ({"teacher": network(2), "loss": Distillation(output=0.0, layers=0.0)}, "no stage follows it"),
        ({"net": FullyConnected(PROBLEM, 2), "teacher": network(2)}, r"Distillation\(base=LogNMSE\(\), layers=0.0\)"),
    ],
)
def test_runs_without_what_they_need_are_refused(options: dict[str, Any], message: str) -> None:
    net, stage = options.pop("net", network(2)), Stage(2, batch=4, loss=options.pop("loss", Distillation()))
    with pytest.raises(ValueError, match=message):
        quiet(net, PROBLEM, [stage], **options)


def test_a_file_is_no_teacher_but_its_network_is(tmp_path: Path) -> None:
    packed = pack(network(2))
    stage = Stage(2, batch=4, loss=Distillation())
    with pytest.raises(TypeError, match=r"network as teacher, got PackedNetwork; take its .network or .trainable\(\)"):
        quiet(network(2), PROBLEM, [stage], teacher=packed)  # pyright: ignore[reportArgumentType]
    for teacher in (packed.network, packed.trainable()):
        check_run(network(2), PROBLEM, [stage], teacher=teacher)


def test_the_fingerprint_tells_teachers_apart(tmp_path: Path) -> None:
    def of(teacher: Unrolled | None) -> dict[str, Any]:
        return run_fingerprint(network(2), PROBLEM, [Stage(2)], teacher)

    teacher = network(3, seed=1)
    assert "teacher" not in of(None)
    assert of(None) == {name: value for name, value in of(teacher).items() if name != "teacher"}
    assert of(teacher) == of(network(3, seed=1)) == json.loads(json.dumps(of(teacher)))
    loaded = load(pack(teacher).save(tmp_path / "net.safetensors")).trainable()
    assert of(loaded) == of(teacher)
    flipped = network(3, seed=1)
    latents = flipped.maps["W"].variables["signs"]
    latents[...] = latents[...].at[2, 0, 0].multiply(-1)
    fixed = [Unrolled(AMP(), PROBLEM, 2, format) for format in (Fixed(), Coherent(Fixed()))]
    others = [network(3, seed=2), network(2, seed=1), network(3, FullPrecision(), seed=1), flipped, *fixed]
    found = [json.dumps(of(other)["teacher"]) for other in (teacher, *others)]
    assert len(set(found)) == len(found)
