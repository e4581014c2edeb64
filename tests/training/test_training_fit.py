"""`fit`: it learns, reproducibly to the last bit, whatever the chunks."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import ADMM, AMP, ISTA, FullyConnected, GradientDescent, Stage, TrainingDiverged, Unrolled, fit
from unrollbit.formats import FullPrecision, Normalised, OneBit
from unrollbit.problems import SparseRecovery
from unrollbit.training import LogNMSE
from unrollbit.training.checkpoint import Checkpoints
from unrollbit.training.program import compiled_chunk
from unrollbit.variables import BinaryParam, ScalarParam, ScaleParam

PROBLEM = SparseRecovery(12, 24, seed=1)
quiet = partial(fit, progress=False)
pytestmark = pytest.mark.filterwarnings("ignore::unrollbit.training.ResultWarning")  # most trainings here are short


def network(depth: int = 3, **options) -> Unrolled:
    return Unrolled(AMP(), PROBLEM, depth, OneBit(scale="row"), **options)


def leaves(net) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(net)]


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def of_kind(net, kind) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(net, kind))]


def without_seconds(records: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def validation_nmse_db(net) -> float:
    x, y = PROBLEM.split("validation").sample(jax.random.key(99), 2000)
    return float(10 * jnp.log10(jnp.sum((net(y) - x) ** 2) / jnp.sum(x**2)))


@pytest.mark.long
def test_training_lowers_the_loss_and_reports() -> None:
    net = network()
    before = validation_nmse_db(net)
    report = quiet(net, PROBLEM, [Stage(120, batch=32, name="all")], chunk=20)
    assert report.records[-1]["loss"] < report.records[0]["loss"] - 0.3
    assert validation_nmse_db(net) < before - 1.0
    assert report.nmse_db == pytest.approx(validation_nmse_db(net), abs=0.5)
    assert [record["step"] for record in report.records] == [20, 40, 60, 80, 100, 120]
    assert {record["name"] for record in report.records} == {"all"}
    assert report.steps == 120
    assert report.seconds > 0
    assert all(np.isfinite(leaf).all() for leaf in leaves(net))


@pytest.mark.long
def test_seeds_and_chunks() -> None:
    """Equal seeds give equal bits, whatever the length of a chunk; other seeds do not."""
    nets, records = [], []
    for options in ({"chunk": 4}, {"chunk": 4}, {"chunk": 7}, {"seed": 1}):
        nets.append(network())
        records.append(quiet(nets[-1], PROBLEM, [Stage(6, batch=4)], **options).records)
    assert equal(nets[0], nets[1])
    assert equal(nets[0], nets[2])
    assert not equal(nets[0], nets[3])
    assert without_seconds(records[0]) == without_seconds(records[1])
    assert not equal(nets[0], network())


@pytest.mark.long
def test_untrained_kinds_and_layers_beyond_the_depth_stay_as_they_were() -> None:
    for rates, moved, kept in (
        ({"scalars": 1e-2}, [ScalarParam], [BinaryParam, ScaleParam]),
        ({"signs": 1e-2, "scales": 1e-2}, [BinaryParam, ScaleParam], [ScalarParam]),
    ):
        net, start = network(4), network(4)
        quiet(net, PROBLEM, [Stage(4, batch=4, depth=2, rates=rates)])
        for kind in kept:
            assert all(np.array_equal(a, b) for a, b in zip(of_kind(net, kind), of_kind(start, kind), strict=True))
        for kind in moved:
            pairs = list(zip(of_kind(net, kind), of_kind(start, kind), strict=True))
            assert all(np.array_equal(a[2:], b[2:]) for a, b in pairs)
            assert any(not np.array_equal(a[:2], b[:2]) for a, b in pairs)
        assert equal(net.operator, start.operator)


@pytest.mark.long
def test_one_compilation_per_stage(caplog: pytest.LogCaptureFixture) -> None:
    compiled_chunk.cache_clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        quiet(network(2), PROBLEM, [Stage(7, batch=4), Stage(5, batch=4)], chunk=3)  # chunks of 3, 3, 1, 3, 2
    compiled = [record.getMessage() for record in caplog.records if "Compiling jit(chunk)" in record.getMessage()]
    assert len(compiled) == 2, compiled
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):  # the same training from another seed
        quiet(network(2), PROBLEM, [Stage(7, batch=4), Stage(5, batch=4)], chunk=3, seed=1)
    assert not any("Compiling jit(chunk)" in record.getMessage() for record in caplog.records)


@pytest.mark.long
def test_fixed_training_set() -> None:
    """With one sample every batch is that sample: the loss is that of a single pair."""
    from unrollbit.training.program import FixedSamples

    drawn = FixedSamples.draw(PROBLEM, jax.random.key(3), 5)
    x, y = drawn.sample(jax.random.key(0), 64)
    assert {tuple(row) for row in np.asarray(x)} == {tuple(row) for row in np.asarray(drawn.x)}
    np.testing.assert_allclose(PROBLEM.operator(x), y, atol=1e-5)  # pairs stay pairs
    one = quiet(network(2), PROBLEM, [Stage(3, batch=4, rates={"scalars": 1e-9})], samples=1, chunk=1)
    losses = [record["loss"] for record in one.records]
    assert np.ptp(losses) < 1e-3
    fresh = quiet(network(2), PROBLEM, [Stage(3, batch=4, rates={"scalars": 1e-9})], chunk=1)
    assert np.ptp([record["loss"] for record in fresh.records]) > 1e-2


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize(
    ("algorithm", "weights"),
    [
        (ISTA(regularisation=0.05), OneBit(scale="layer")),
        (ISTA(regularisation=0.05, parametrisation="classic"), OneBit(scale="row")),
        (ADMM(regularisation=0.05), OneBit(scale="column", planes=2)),
        (GradientDescent(), Normalised(OneBit(scale="global"))),
    ],
    ids=["ista", "classic", "admm", "gradient descent"],
)
def test_full_precision_first_then_one_bit(algorithm, weights) -> None:
    net = Unrolled(algorithm, PROBLEM, 2, weights)
    start = {name: np.asarray(w.dense()) for name, w in net.maps.items()}
    formats = {name: type(w) for name, w in net.maps.items()}
    report = quiet(net, PROBLEM, [Stage(8, batch=8, quantised=False), Stage(4, batch=8)], chunk=4)
    assert {name: type(w) for name, w in net.maps.items()} == formats
    assert all(np.isfinite(leaf).all() for leaf in leaves(net))
    assert np.isfinite(report.nmse_db)
    for name, weights in net.maps.items():
        assert not np.array_equal(weights.dense(), start[name])
        inner = weights.leaf
        levels = 2 * 24 if inner.format.scale == "column" else 2**inner.format.planes
        for row in np.abs(np.asarray(inner.layer(0).dense())):
            assert len(np.unique(row.round(5))) <= levels


@pytest.mark.long
def test_unquantised_stages_end_as_the_best_signs_of_the_trained_matrices() -> None:
    """The network after an unquantised stage is the quantised form of the same training in full precision."""
    stage = Stage(6, batch=8, quantised=False)
    net = network(2)
    quiet(net, PROBLEM, [stage])
    twin = Unrolled(AMP(), PROBLEM, 2, {"W": network(2).maps["W"].unquantised(FullPrecision())})
    quiet(twin, PROBLEM, [stage])
    expected = OneBit(scale="row").from_matrix(twin.maps["W"].dense(), copies=2)
    np.testing.assert_allclose(net.maps["W"].dense(), expected.dense(), rtol=1e-4)
    for name in net.scalars:
        np.testing.assert_array_equal(net.scalars[name][...], twin.scalars[name][...])


@pytest.mark.slow
def test_fully_connected_networks_train() -> None:
    net = FullyConnected(PROBLEM, 3, 20, OneBit())
    stages = [Stage(30, batch=16, loss=LogNMSE(), quantised=False), Stage(30, batch=16, loss=LogNMSE())]
    report = quiet(net, PROBLEM, stages, chunk=10)
    assert report.records[2]["loss"] < report.records[0]["loss"]
    assert np.isfinite(report.nmse_db)


@pytest.mark.long
@pytest.mark.parametrize("chunk", [1, 50])
def test_divergence_names_the_step_and_keeps_the_last_good_state(chunk: int, tmp_path: Path) -> None:
    net, rates = network(2), {"scalars": 1e30, "signs": 1e30, "scales": 1e30}
    stage = Stage(30, batch=4, rates=rates, name="wild")
    with pytest.raises(TrainingDiverged) as caught:
        quiet(net, PROBLEM, [stage], chunk=chunk, out=tmp_path)
    message = str(caught.value)
    assert "not finite at step 2 (wild)" in message  # the rate of step 0 is 0, step 1 moves, step 2 sees it
    assert f"rates={ {kind: rate / 3 for kind, rate in rates.items()} }" in message
    assert str(tmp_path / "checkpoints") in message
    assert all(np.isfinite(leaf).all() for leaf in leaves(net))
    assert bool(jnp.isfinite(net(jnp.ones((3, 12)))).all())
    kept = Checkpoints(tmp_path / "checkpoints")
    assert kept.latest() is not None
    assert kept.record(kept.latest())["step"] <= 1


@pytest.mark.long
def test_divergence_in_the_very_last_update_is_seen() -> None:
    net = network(2)
    with pytest.raises(TrainingDiverged, match="not finite at step 2"):
        quiet(net, PROBLEM, [Stage(2, batch=4, rates={"scalars": 1e30})])
    assert bool(jnp.isfinite(net(jnp.ones((3, 12)))).all())


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    net, stage = network(3), Stage(2, batch=4)
    start = leaves(net)
    for stages, options, message in (
        ([], {}, "expected at least one Stage"),
        ([stage], {"resume": True}, "resume=True needs the run folder"),
        ([stage], {"samples": 0}, "samples: expected a positive integer, got 0"),
        ([stage], {"chunk": 0}, "chunk: expected an integer from 1 to 1000, got 0"),
        ([Stage(2, depth=4)], {}, "a stage has depth 4, but the network has 3 layers"),
        ([Stage(2, batch=4, rates={"matrices": 1e-3})], {}, r"rates \['matrices'\]: the network has no such variables"),
        ([Stage(2000, batch=4)], {"chunk": 1001}, "chunk: expected an integer from 1 to 1000, got 1001"),
    ):
        with pytest.raises(ValueError, match=message):
            quiet(net, PROBLEM, stages, **options)
    assert all(np.array_equal(a, b) for a, b in zip(leaves(net), start, strict=True))
