"""A run as events: what it refuses beforehand, whom it locks out, how it ends when it is cut short, what it keeps."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import signal
import subprocess
import sys
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

from unrollbit import ISTA, Stage, Unrolled, fit, recipes
from unrollbit.formats import OneBit
from unrollbit.operators import gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.training import Event, ResultWarning
from unrollbit.training.checkpoint import Checkpoints
from unrollbit.training.folder import RunFolder
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


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def plain() -> list[np.ndarray]:
    """What STAGE makes of the network."""
    net = network()
    quiet(net, PROBLEM, STAGE)
    return leaves(net)


def stop_after(step: int, error: BaseException):
    def consumer(event: Event) -> None:
        if event.kind == "trained" and event.step == step:
            raise error

    return consumer


def test_events_come_in_order() -> None:
    seen: list[tuple[str, int]] = []
    quiet(
        network(), PROBLEM, [Stage(4, batch=4), Stage(2, batch=4)], consumers=[lambda e: seen.append((e.kind, e.step))]
    )
    first = [("started", 0), ("compiling", 0), ("trained", 2), ("trained", 4), ("stage ended", 4)]
    assert seen == [*first, ("compiling", 4), ("trained", 6), ("stage ended", 6), ("finished", 6)]


def test_a_single_stage_and_a_recipe_are_enough(plain: list[np.ndarray]) -> None:
    net = network()
    assert quiet(net, PROBLEM, [STAGE]).steps == 8
    assert equal(leaves(net), plain)
    recipe = recipes.learned_signs(PROBLEM, 2, algorithm=ISTA(), steps=2, batch=4)
    before = leaves(recipe.network)
    assert quiet(recipe, PROBLEM).steps == 2
    assert not equal(leaves(recipe.network), before)


NET = network()
RECIPE = recipes.learned_signs(PROBLEM, 2, algorithm=ISTA(), steps=2, batch=4)
MISTAKES = [
    ((NET, PROBLEM), ValueError, r"expected at least one Stage, such as Stage\(1000\)"),
    ((NET, PROBLEM, RECIPE), TypeError, r"got a recipe, which has a network of its own: use fit\(recipe, problem\)"),
    ((RECIPE, PROBLEM, STAGE), TypeError, r"got a recipe and stages: use fit\(recipe.network, problem, stages\)"),
    ((NET, PROBLEM, [STAGE, RECIPE]), TypeError, "expected a Stage, or a list or tuple of them, got Recipe"),
    ((NET, PROBLEM, 5), TypeError, "expected a Stage, or a list or tuple of them, got int"),
    (
        (NET, (np.ones(3), np.ones(3)), STAGE),
        TypeError,
        "got tuple; for signals of your own use unrollbit.prob",
    ),
    (
        (NET, SparseRecovery, STAGE),
        TypeError,
        "expected a problem to draw signals from, .* got the class SparseRecovery",
    ),
    ((NET, PROBLEM.operator, STAGE), TypeError, "expected a problem to draw signals from, .* got Dense"),
    ((PROBLEM, NET, STAGE), TypeError, "expected a network .or a recipe. to train, got SparseRecovery"),
    ((Unrolled, PROBLEM, STAGE), TypeError, "got the class Unrolled"),
    ((NET, SparseRecovery(12, 25), STAGE), ValueError, r"physics of shape \(12, 25\), the network is for \(12, 24\)"),
]


@pytest.mark.parametrize("case", range(len(MISTAKES)))
def test_wrong_arguments_are_told_before_the_disk_is_touched(case: int, tmp_path: Path) -> None:
    arguments, error, message = MISTAKES[case]
    with pytest.raises(error, match=message):
        quiet(*arguments, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_refused_arguments_leave_the_run_of_a_folder_alone(tmp_path: Path) -> None:
    quiet(network(), PROBLEM, STAGE, out=tmp_path)
    before = files(tmp_path)
    for options, message in (
        ({"chunk": 2000}, "chunk: expected an integer from 1 to 1000, got 2000"),
        ({"keep": "worst"}, "keep: expected one of 'best', 'last', got 'worst'"),
        ({"resume": True}, "pass one of them"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(network(), PROBLEM, STAGE, out=tmp_path, overwrite=True, progress=False, **options)
    with pytest.raises(ValueError, match="no such variables"):
        quiet(network(), PROBLEM, Stage(2, rates={"matrices": 1e-3}), out=tmp_path, overwrite=True)
    assert files(tmp_path) == before
    with pytest.raises(NotADirectoryError, match="is a file, so no run folder"):
        quiet(network(), PROBLEM, STAGE, out=tmp_path / "metrics.jsonl" / "run")


HOLDER = """
import sys, time
from unrollbit.training.folder import RunFolder
with RunFolder(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_trains_into_a_folder(tmp_path: Path, plain: list[np.ndarray]) -> None:
    root = Path(__file__).resolve().parents[2]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(ValueError, match=rf"process {holder.pid} \(.*since .*\) is training into this"):
            quiet(network(), PROBLEM, STAGE, out=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (tmp_path / ".lock").exists()  # left behind, and no obstacle
    net = network()
    quiet(net, PROBLEM, STAGE, out=tmp_path)
    assert equal(leaves(net), plain)
    assert not (tmp_path / ".lock").exists()


def test_a_folder_is_locked_against_the_same_process_too(tmp_path: Path) -> None:
    with RunFolder(tmp_path).locked(), pytest.raises(ValueError, match=f"process {os.getpid()}"):
        quiet(network(), PROBLEM, STAGE, out=tmp_path)


def test_an_interrupt_leaves_what_was_trained_in_network_and_folder(tmp_path: Path, plain: list[np.ndarray]) -> None:
    net, start, half = network(), leaves(network()), network()
    with pytest.raises(KeyboardInterrupt, match=r"interrupted after step 4 of 8; .* keeps it: continue with resume"):
        quiet(net, PROBLEM, STAGE, out=tmp_path, consumers=[stop_after(4, KeyboardInterrupt())])
    assert Checkpoints(tmp_path / "checkpoints").latest() == 4
    assert not equal(leaves(net), start)
    with pytest.raises(RuntimeError, match="no more"):
        quiet(half, PROBLEM, STAGE, consumers=[stop_after(4, RuntimeError("no more"))])
    assert equal(leaves(net), leaves(half))
    resumed = network()
    quiet(resumed, PROBLEM, STAGE, out=tmp_path, resume=True)
    assert equal(leaves(resumed), plain)


def test_an_interrupt_in_full_precision_leaves_signs(tmp_path: Path) -> None:
    """What the stand-in has learned by then is handed over."""
    stages = [Stage(4, batch=4, quantised=False), Stage(4, batch=4, quantised=False), Stage(2, batch=4)]
    rests = []
    for cut in ([*stages[:1], Stage(4, batch=4)], stages):
        net = network()
        with pytest.raises(KeyboardInterrupt):
            quiet(net, PROBLEM, cut, consumers=[stop_at_compiling(4)])
        rests.append(leaves(net))
    assert equal(*rests)
    assert not equal(rests[0], leaves(network()))


def stop_at_compiling(step: int):
    def consumer(event: Event) -> None:
        if event.kind == "compiling" and event.step == step:
            raise KeyboardInterrupt

    return consumer


def test_a_full_disk_is_one_error_and_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: list[np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    written = np.savez
    calls = []

    def savez(file, **arrays) -> None:
        calls.append(file)
        if len(calls) > 1:
            file.write(b"half of it")
            raise OSError(errno.ENOSPC, "No space left on device")
        written(file, **arrays)

    monkeypatch.setattr("unrollbit.training.checkpoint.np.savez", savez)
    net = network()
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\); the checkpoint of step 2 is"):
        quiet(net, PROBLEM, STAGE, out=tmp_path, checkpoint_seconds=0.0)
    assert len(calls) == 2  # not tried again on the way out
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2.npz"]
    assert capfd.readouterr() == ("", "")
    assert not equal(leaves(net), leaves(network()))
    monkeypatch.undo()
    resumed = network()
    quiet(resumed, PROBLEM, STAGE, out=tmp_path, resume=True)
    assert equal(leaves(resumed), plain)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    quiet(network(), PROBLEM, STAGE, out=tmp_path)
    path = tmp_path / "checkpoints" / "8.npz"
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], whole.replace(b"PK\x01\x02", b"PK\x01\x03"), b""):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"8\.npz: damaged"):
            quiet(network(), PROBLEM, STAGE, out=tmp_path, resume=True)


# the second one climbs
WORSE = (Stage(4, batch=16), Stage(6, batch=16, rates={}, optimisers={"scalars": optax.scale(1.0)}))


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
    assert shortfall(math.nan, {"a": 0.0, "b": math.nan}) is not None
    assert shortfall(-1.0, {"a": 0.0, "b": math.nan}) is None
    assert "a (-1.0 dB) and b (-2.0 dB)" in str(shortfall(-1.0, {"a": -1.0, "b": -2.0, "c": 0.0}))


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
