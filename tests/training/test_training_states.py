"""Which state of a run is kept, what is told of it, and optimisers of the user's own."""

from __future__ import annotations

import io
import json
import math
import warnings
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from rich.console import Console

from unrollbit import ISTA, Stage, Unrolled, fit
from unrollbit.formats import OneBit
from unrollbit.operators import gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Event, ResultWarning
from unrollbit.training.progress import TrainingProgress
from unrollbit.training.validation import Validation, shortfall
from unrollbit.variables import TRAINED

PROBLEM = SparseRecovery(12, 24, seed=1)
STAGE = Stage(8, batch=4)
quiet = partial(fit, progress=False, chunk=2)
pytestmark = pytest.mark.filterwarnings("ignore::unrollbit.training.ResultWarning")


def network(depth: int = 2) -> Unrolled:
    return Unrolled(ISTA(regularisation=0.05), PROBLEM, depth, OneBit(scale="row"))


def leaves(net: Unrolled) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(nnx.state(net, TRAINED))]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


NET = network()


# the second one climbs
WORSE = (Stage(4, batch=16), Stage(6, batch=16, rates={}, optimisers={"scalars": optax.scale(1.0)}))


@pytest.mark.long
def test_the_best_state_on_validation_signals_is_kept(tmp_path: Path) -> None:
    """A second stage that spoils the network: the end of the first one remains, after a resume too."""
    nets = {keep: network() for keep in ("best", "last")}
    reports = {keep: quiet(net, PROBLEM, WORSE, keep=keep, out=tmp_path / keep) for keep, net in nets.items()}
    best, last = reports["best"], reports["last"]
    assert last.nmse_db > best.nmse_db + 0.3
    assert (best.kept_step, last.kept_step) == (4, 10)
    first = network()
    quiet(first, PROBLEM, WORSE[0])
    assert equal(leaves(first), leaves(nets["best"]))
    assert best.nmse_db == min(record.get("validation_nmse_db", 0.0) for record in best.records)
    assert best.nmse_db == Validation(PROBLEM, jax.random.key(0), 24).nmse_db(nets["best"])
    (tmp_path / "best" / "checkpoints" / "10.npz").unlink()  # as if killed in the second stage
    resumed = network()
    again = quiet(resumed, PROBLEM, WORSE, out=tmp_path / "best", resume=True)
    assert equal(leaves(resumed), leaves(nets["best"]))
    assert (again.kept_step, again.nmse_db) == (4, best.nmse_db)


@pytest.mark.long
def test_states_on_the_way_are_scored_whatever_the_chunks() -> None:
    """One score for as many batches as keep it under 3 % of the run, at steps that chunks do not decide."""
    validation = Validation(PROBLEM, jax.random.key(0), 24)
    assert validation.interval(Stage(9, batch=64), 16) == 128
    assert validation.interval(Stage(9, batch=64, depth=4), 16) == 512
    stage = Stage(40, batch=1024, rates={"scalars": 1e-2})
    scored = []
    for chunk in (5, 50):
        records = fit(network(), PROBLEM, stage, progress=False, chunk=chunk).records
        scored.append({r["step"]: r["validation_nmse_db"] for r in records if "validation_nmse_db" in r})
    assert list(scored[0]) == [8, 16, 24, 32, 40]
    assert scored[0] == scored[1]


@pytest.mark.long
def test_a_result_no_better_than_nothing_is_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResultWarning)
        assert quiet(network(), PROBLEM, Stage(30, batch=16)).shortfall is None
    spoilt = WORSE[1:]
    with pytest.warns(ResultWarning, match="no better than .*the untrained network") as caught:
        report = quiet(network(), PROBLEM, spoilt, keep="last")
    assert caught[0].filename == __file__
    assert report.shortfall is not None
    assert report.nmse_db > report.untrained_nmse_db
    net = network()
    with pytest.warns(ResultWarning, match="no better than the untrained network .*; the untrained values are kept"):
        kept = quiet(net, PROBLEM, spoilt)
    assert (kept.kept_step, kept.nmse_db) == (0, kept.untrained_nmse_db)
    assert equal(leaves(net), leaves(network()))
    assert shortfall(math.nan, {"a": 0.0, "b": math.nan}) is not None
    assert shortfall(-1.0, {"a": 0.0, "b": math.nan}) is None
    assert "a (-1.0 dB) and b (-2.0 dB)" in str(shortfall(-1.0, {"a": -1.0, "b": -2.0, "c": 0.0}))


def test_a_log_has_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrollbit.training.progress._SILENT", -1.0)
    text = io.StringIO()
    progress = TrainingProgress(Console(file=text, force_terminal=False, width=160))
    quiet(network(), PROBLEM, Stage(4, batch=4, name="first"), consumers=[progress], chunk=2)
    assert "first: step 2 of 4, loss" in text.getvalue()
    assert "nan" not in text.getvalue()


def test_progress_says_when_it_compiles() -> None:
    for terminal in (True, False):
        text = io.StringIO()
        progress = TrainingProgress(Console(file=text, force_terminal=terminal, width=160))
        said = []

        def listen(event: Event, progress=progress, said=said, text=text) -> None:
            progress(event)
            if event.kind == "compiling":
                progress._bar.refresh()
                said.append(text.getvalue())

        quiet(network(), PROBLEM, Stage(4, batch=4, name="first"), consumers=[listen])
        assert "first: compiling" in said[0]


@pytest.mark.long
def test_optimisers_of_the_users_own_by_kind_of_variable(tmp_path: Path) -> None:
    """One step of plain gradient descent moves by the rate times the gradient; Adam moves the others."""
    net, start = network(), network()
    stage = Stage(1, batch=4, rates={"scalars": 1e-2}, warmup=0.0, optimisers={"signs": optax.sgd(0.25)})
    quiet(net, PROBLEM, stage, keep="last")
    x, y = PROBLEM.sample(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 0), 0), 4)

    before = start.maps["W"].variables["signs"][...]
    gradient = nnx.grad(lambda start: stage.loss(start(y, iterates=True), x, None))(start)["maps"]["W"]["variables"][
        "signs"
    ][...]
    np.testing.assert_allclose(net.maps["W"].variables["signs"][...], before - 0.25 * gradient, rtol=2e-5, atol=1e-6)
    assert Stage(5, optimisers={"signs": optax.sgd(1.0)}).rates == {"scalars": 1e-2, "scales": 1e-2, "matrices": 1e-3}
    for options, message in (
        ({"rates": {"signs": 1e-3}, "optimisers": {"signs": optax.sgd(1.0)}}, "signs have a rate and an optimiser"),
        ({"optimisers": {"weights": optax.sgd(1.0)}}, "expected kinds among .*got .*'weights'"),
        ({"optimisers": {"signs": 0.1}}, r"an optax transformation for signs, such as optax.sgd\(1e-2\), got 0.1"),
    ):
        with pytest.raises(ValueError, match=message):
            Stage(5, **options)
    with pytest.raises(ValueError, match="no spec or config can hold"):
        stage.to_spec()


@pytest.mark.long
def test_runs_with_optimisers_resume_with_the_same_ones_only(tmp_path: Path) -> None:
    def run(optimiser: optax.GradientTransformation, **options) -> list[np.ndarray]:
        net = network()
        stage = Stage(6, batch=4, rates={"scalars": 1e-2}, optimisers={"signs": optimiser})
        quiet(net, PROBLEM, stage, out=tmp_path, **options)
        return leaves(net)

    noisy = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.sgd(0.1, momentum=0.9))  # a key as state
    whole = run(noisy, checkpoint_seconds=0.0)
    (tmp_path / "checkpoints" / "6.npz").unlink()
    assert equal(run(noisy, resume=True), whole)
    for other in (optax.sgd(0.1), optax.adam(0.1)):
        with pytest.raises(ValueError, match=r"stages\[0\].optimisers.signs"):
            run(other, resume=True)


def test_metrics_are_whole_lines(tmp_path: Path) -> None:
    quiet(network(), PROBLEM, STAGE, out=tmp_path)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records] == [2, 4, 6, 8]
    assert "validation_nmse_db" in records[-1]
    assert gaussian(12, 24).shape == NET.operator.shape
    assert bool(jnp.isfinite(records[-1]["loss"]))
