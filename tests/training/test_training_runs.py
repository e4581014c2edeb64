"""Runs: events, folders, locks, interrupts and full disks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

from unrollbit import ISTA, Stage, Unrolled, fit, recipes
from unrollbit.formats import OneBit
from unrollbit.problems import SparseRecovery
from unrollbit.training import Event
from unrollbit.training.checkpoint import Checkpoints
from unrollbit.training.folder import RunFolder
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


@pytest.mark.long
def test_events_come_in_order() -> None:
    seen: list[tuple[str, int]] = []
    quiet(
        network(), PROBLEM, [Stage(4, batch=4), Stage(2, batch=4)], consumers=[lambda e: seen.append((e.kind, e.step))]
    )
    first = [("started", 0), ("compiling", 0), ("trained", 2), ("trained", 4), ("stage ended", 4)]
    assert seen == [*first, ("compiling", 4), ("trained", 6), ("stage ended", 6), ("finished", 6)]


@pytest.mark.long
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
    (
        (NET, PROBLEM, [STAGE, RECIPE]),
        TypeError,
        r"fit: stages: expected a Stage, such as Stage\(1000\), or several of them, got Recipe",
    ),
    ((NET, PROBLEM, 5), TypeError, r"fit: stages: expected a Stage, such as Stage\(1000\), or several of them, got 5"),
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
