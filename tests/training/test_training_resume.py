"""Runs that resume, however often they are killed, and on several devices."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit import AMP, Stage, Unrolled, fit
from unrollbit.formats import Clipped, Identity, OneBit
from unrollbit.problems import ArrayProblem, SparseRecovery
from unrollbit.training.checkpoint import Checkpoints
from unrollbit.training.run import TrainingRun

PROBLEM = SparseRecovery(12, 24, seed=1)
quiet = partial(fit, progress=False)
pytestmark = pytest.mark.filterwarnings("ignore::unrollbit.training.ResultWarning")  # most trainings here are short


def network(depth: int = 3, **options) -> Unrolled:
    return Unrolled(AMP(), PROBLEM, depth, OneBit(scale="row"), **options)


def leaves(net) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(net)]


def equal(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


def without_seconds(records: list[dict]) -> list[dict]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def read_log(folder: Path) -> list[dict]:
    return without_seconds([json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()])


STAGES = (
    Stage(4, batch=4, quantised=False, depth=2),
    Stage(4, batch=4, quantised=False),
    Stage(4, batch=4),
)


@pytest.mark.slow
def test_resume_at_stage_borders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of the run folder at the borders of stages each resume to the bit-identical end."""
    copies: dict[int, Path] = {}
    save = Checkpoints.save

    def save_and_copy(self: Checkpoints, step: int, state, record) -> None:
        save(self, step, state, record)
        copies[step] = tmp_path / f"copy-{step}"
        shutil.copytree(tmp_path / "run", copies[step])

    full = network(3)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save_and_copy)
        report = quiet(full, PROBLEM, STAGES, out=tmp_path / "run", chunk=2, checkpoint_seconds=0.0)
    assert sorted(copies) == [2, 4, 6, 8, 10, 12]
    assert read_log(tmp_path / "run") == without_seconds(report.records)

    for step in (4, 8):
        net, folder = network(3), copies[step]
        with (folder / "metrics.jsonl").open("a") as log:  # lines after the checkpoint, the last cut off by the kill
            log.write('{"step": 11, "loss": 1.0}\n{"step": 12, "lo')
        again = quiet(net, PROBLEM, STAGES, out=folder, chunk=2, resume=True)
        assert equal(net, full), f"resumed at step {step}"
        assert read_log(folder) == read_log(tmp_path / "run")
        assert again.steps == 12
        assert again.nmse_db == report.nmse_db

    finished = network(3)
    quiet(finished, PROBLEM, STAGES, out=copies[12], chunk=2, resume=True)
    assert equal(finished, full)


@pytest.mark.long
def test_resume_with_other_arguments_is_refused(tmp_path: Path) -> None:
    quiet(network(2), PROBLEM, [Stage(4, batch=4)], out=tmp_path)
    one, again = [Stage(4, batch=4)], {"out": tmp_path, "resume": True}
    with pytest.raises(ValueError, match=r"started otherwise: .*problem.seed was 1 and is 9 now"):
        quiet(network(2), SparseRecovery(12, 24, seed=9), one, **again)
    for stages, options, message in (
        ([Stage(6, batch=4)], {}, r"stages\[0\].steps was 4 and is 6 now"),
        (one * 2, {}, "stages was "),
        (one, {"seed": 1}, "seed was 0 and is 1 now"),
        (one, {"samples": 7}, "samples was null and is 7 now"),
        (one, {"keep": "last"}, 'keep was "best" and is "last" now'),
    ):
        with pytest.raises(ValueError, match=message):
            quiet(network(2), PROBLEM, stages, **again, **options)


@pytest.mark.long
def test_resume_compares_the_whole_format(tmp_path: Path) -> None:
    """Another pseudo-gradient is another training, though the stored bits are of the same kind."""

    def of(**options) -> Unrolled:
        return Unrolled(AMP(), PROBLEM, 2, OneBit(**options))

    quiet(of(surrogate=Identity()), PROBLEM, Stage(4, batch=4), out=tmp_path)
    for options, field in (({"surrogate": Clipped(0.01)}, "surrogate"), ({"planes": 2}, "planes")):
        with pytest.raises(ValueError, match=f"started otherwise: maps.W[a-z.]*.{field}"):
            quiet(of(**options), PROBLEM, Stage(4, batch=4), out=tmp_path, resume=True)


def test_resume_before_the_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    resumed, plain = network(2), network(2)
    quiet(resumed, PROBLEM, STAGES[1:2], out=tmp_path, resume=True)
    quiet(plain, PROBLEM, STAGES[1:2])
    assert equal(resumed, plain)


@pytest.mark.long
def test_a_new_run_in_an_old_folder_is_asked_for_and_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    quiet(network(2), PROBLEM, [Stage(6, batch=4)], out=tmp_path, chunk=2)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="holds a run already: pass resume=True to continue it, overwrite=True to"):
        quiet(network(2), PROBLEM, [Stage(2, batch=4)], out=tmp_path, chunk=2)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    quiet(network(2), PROBLEM, [Stage(2, batch=4)], out=tmp_path, chunk=2, overwrite=True)
    assert [record["step"] for record in read_log(tmp_path)] == [2]
    assert Checkpoints(tmp_path / "checkpoints").latest() == 2


@pytest.mark.long
def test_resume_under_another_environment_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(network(2), PROBLEM, [Stage(2, batch=4)], out=tmp_path)
    monkeypatch.setattr(sys.modules["unrollbit.training.fingerprint"], "environment", lambda: {"jax": "0.0.0"})
    with pytest.warns(UserWarning, match=r"may differ in the last bits"):
        quiet(network(2), PROBLEM, [Stage(2, batch=4)], out=tmp_path, resume=True)


SCRIPT = """
import sys
from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.problems import ArrayProblem, SparseRecovery

problem = SparseRecovery(12, 24, seed=1)
net = Unrolled(AMP(), problem, 3, OneBit(scale="row"))
stages = (Stage(40, batch=4, quantised=False, depth=2), Stage(40, batch=4))
fit(net, problem, stages, out=sys.argv[1], chunk=1, checkpoint_seconds=0.0, progress=False)
"""
KILLED_STAGES = (Stage(40, batch=4, quantised=False, depth=2), Stage(40, batch=4))


def run_script(text: str, *arguments: str, flags: str = "") -> subprocess.Popen:
    root = Path(__file__).resolve().parents[2]
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()  # first: unknown words end the list
    return subprocess.Popen(
        [sys.executable, "-c", text, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.long
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the killed process runs on the CPU")
def test_a_killed_run_resumes_to_the_bit_identical_end(tmp_path: Path) -> None:
    """A process that trains is really killed (SIGKILL, while it saves after every step)."""
    process = run_script(SCRIPT, str(tmp_path / "killed"))
    checkpoints, deadline = tmp_path / "killed" / "checkpoints", time.monotonic() + 120
    try:
        while not max(Checkpoints(checkpoints).steps(), default=0) >= 3:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert Checkpoints(checkpoints).latest() < 80, "the run was over before it was killed"

    resumed, plain = network(3), network(3)
    quiet(resumed, PROBLEM, KILLED_STAGES, out=tmp_path / "killed", chunk=1, resume=True)
    quiet(plain, PROBLEM, KILLED_STAGES, out=tmp_path / "plain", chunk=1)
    assert equal(resumed, plain)
    assert read_log(tmp_path / "killed") == read_log(tmp_path / "plain")
    assert len(read_log(tmp_path / "plain")) == 80


DEVICES = """
import sys
from functools import partial
from pathlib import Path
import jax, numpy as np
from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.problems import ArrayProblem, SparseRecovery

assert jax.device_count() == 4
folder = Path(sys.argv[1])
problem = SparseRecovery(12, 24, seed=1)
make = lambda: Unrolled(AMP(), problem, 3, OneBit(scale="row"))
stages = (Stage(8, batch=8, quantised=False), Stage(8, batch=8))
net = make()
fit(net, problem, stages, out=folder / "run", chunk=4, checkpoint_seconds=0.0, progress=False)
np.savez(folder / "parameters.npz", *[np.asarray(leaf) for leaf in jax.tree.leaves(net)])
(folder / "run" / "checkpoints" / "16.npz").unlink()  # as if killed in the second stage
again = make()
fit(again, problem, stages, out=folder / "run", chunk=4, resume=True, progress=False)
equal = [np.array_equal(a, b) for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(net), strict=True)]
assert all(equal), "resumed on 4 devices to another result"
try:
    fit(make(), problem, (Stage(2, batch=6),), progress=False)
except ValueError as error:
    assert "batch 6 is no multiple of the 4 devices" in str(error)
else:
    raise AssertionError("a batch of 6 on 4 devices was accepted")
print("done")
"""


@pytest.mark.slow
def test_four_devices_agree_with_one(tmp_path: Path) -> None:
    process = run_script(DEVICES, str(tmp_path), flags="--xla_force_host_platform_device_count=4")
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    assert output.strip().endswith("done")
    net = network(3)
    quiet(net, PROBLEM, (Stage(8, batch=8, quantised=False), Stage(8, batch=8)), chunk=4)
    with np.load(tmp_path / "parameters.npz") as stored:
        for expected, name in zip(leaves(net), stored.files, strict=True):
            scale = max(np.abs(expected).max(), 1e-3)
            assert np.abs(stored[name] - expected).max() <= 1e-5 * scale


@pytest.mark.long
def test_data_may_move_but_not_change(tmp_path: Path) -> None:
    """A run goes on where its data has been moved; other data of the same name are another problem."""
    random = np.random.RandomState(0)
    A, x = random.randn(12, 24), random.randn(40, 24)

    def resumed(place: str, x: np.ndarray) -> TrainingRun:
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "A.npy", A)
        np.save(tmp_path / place / "x.npy", x)
        problem = ArrayProblem("A.npy", "x.npy", folder=tmp_path / place)
        net = Unrolled(AMP(), problem, 2, OneBit(scale="row"))
        return quiet(net, problem, Stage(2, batch=2), out=tmp_path / "run", resume=(tmp_path / "run").exists())

    first = resumed("here", x)
    assert resumed("there", x).records == first.records
    with pytest.raises(ValueError, match=r"resume: the run in .* was started otherwise: problem\.signals\.sha256 was"):
        resumed("changed", x + 1)
