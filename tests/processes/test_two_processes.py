"""Two processes train as one does; whatever ends them, they go on to the same end."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.problems import SparseRecovery
from unrollbit.training.checkpoint import Checkpoints

STEPS = 40
SCRIPT = """
from pathlib import Path
import numpy as np
from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.problems import SparseRecovery

folder = Path(sys.argv[4])
problem = SparseRecovery(12, 24, seed=1)
make = lambda: Unrolled(AMP(), problem, 2, OneBit(scale="row"))
if len(sys.argv) > 5:
    try:
        fit(make(), problem, Stage(2, batch=4), seed=index, progress=False)
    except (ValueError, RuntimeError) as error:
        print(type(error).__name__, error)
net = make()
stages = (Stage(20, batch=4, quantised=False), Stage(20, batch=4))
options = {"out": folder / "run", "chunk": 1, "checkpoint_seconds": 0.0, "resume": True, "progress": False}
report = fit(net, problem, stages, **options)
assert len(report.records) == 40, len(report.records)
np.savez(folder / f"{index}.npz", *jax.tree.leaves(net))
"""
SPLIT = """
from pathlib import Path
import numpy as np
import unrollbit.training.placement
from unrollbit import AMP, OneBit, Stage, Unrolled, fit
from unrollbit.packed import pack
from unrollbit.problems import SparseRecovery

unrollbit.training.placement._WHOLE = 64  # entries, from which arrays are split
folder = Path(sys.argv[4])
problem = SparseRecovery(12, 24, seed=1)
net = Unrolled(AMP(), problem, 2, OneBit(scale="row"), distinct=1)
stages = (Stage(4, batch=8, quantised=False), Stage(4, batch=8))
options = {"out": folder / "run", "chunk": 2, "checkpoint_seconds": 0.0, "resume": True, "progress": False}
fit(net, problem, stages, model_parallel=count, **options)
assert all(leaf.is_fully_addressable for leaf in jax.tree.leaves(net) if isinstance(leaf, jax.Array))
np.savez(folder / f"{index}.npz", *jax.tree.leaves(net))
"""
STAGES = (Stage(STEPS // 2, batch=4, quantised=False), Stage(STEPS // 2, batch=4))
pytestmark = [
    pytest.mark.filterwarnings("ignore::unrollbit.training.ResultWarning"),
    pytest.mark.skipif(jax.default_backend() != "cpu", reason="the processes run on the CPU"),
]


def result(folder: Path, index: int = 0) -> list[np.ndarray]:
    with np.load(folder / f"{index}.npz") as stored:
        return [stored[name] for name in stored.files]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def log(folder: Path) -> list[dict]:
    records = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def steps_done(folder: Path) -> int:
    return max(Checkpoints(folder / "run" / "checkpoints").steps(), default=0)


def wait_for(step: int, folder: Path, team) -> None:
    deadline = time.monotonic() + 1200
    while steps_done(folder) < step:
        assert all(member.poll() is None for member in team.members), [m.communicate()[0] for m in team.members]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max(initial=0) <= 1e-4 * max(np.abs(b).max(initial=0), 1e-3)


@pytest.fixture(scope="module")
def plain(team, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """What two processes make of it that nothing disturbs."""
    folder = tmp_path_factory.mktemp("plain")
    return folder, team(SCRIPT, 2, folder, "refused").finish()


def network() -> tuple[SparseRecovery, Unrolled]:
    problem = SparseRecovery(12, 24, seed=1)
    return problem, Unrolled(AMP(), problem, 2, OneBit(scale="row"))


@pytest.mark.long
def test_both_agree_with_one(plain) -> None:
    folder, (first, second) = plain
    problem, net = network()
    report = fit(net, problem, STAGES, chunk=1, progress=False)
    assert equal(result(folder, 0), result(folder, 1))
    close(result(folder), [np.asarray(leaf) for leaf in jax.tree.leaves(net)])
    losses, expected = ([r["loss"] for r in records] for records in (log(folder), report.records))
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    assert [record["step"] for record in log(folder)] == list(range(1, STEPS + 1)), "one of them alone writes"
    assert {path.name for path in (folder / "run").iterdir()} == {"metrics.jsonl", "checkpoints"}
    assert "expected the same run in all processes, but of the first one seed was 0 and is 1 now" in second
    assert "OtherProcessError process 1 has failed: fit: expected the same run" in first


@pytest.mark.long
def test_interrupted_and_killed_they_go_on_to_the_identical_end(plain, team, tmp_path: Path) -> None:
    """Ctrl-C in one of them stops both after the same step; SIGKILL of one leaves what was saved."""
    run = team(SCRIPT, 2, tmp_path)
    wait_for(3, tmp_path, run)
    run.send(signal.SIGINT, 1)
    outputs = [member.communicate(timeout=1200)[0] for member in run.members]
    stopped = steps_done(tmp_path)
    assert 3 <= stopped < STEPS
    for output in outputs:
        assert f"KeyboardInterrupt: interrupted after step {stopped} of {STEPS}" in output
    run = team(SCRIPT, 2, tmp_path)
    wait_for(stopped + 2, tmp_path, run)
    run.send(signal.SIGKILL, 0)
    run.end()
    assert steps_done(tmp_path) < STEPS
    team(SCRIPT, 2, tmp_path).finish()
    folder, _ = plain
    assert equal(result(tmp_path), result(folder))
    assert log(tmp_path) == log(folder)


@pytest.mark.slow
def test_four_agree_with_two_and_go_on_from_where_they_were(plain, team, tmp_path: Path) -> None:
    folder, _ = plain
    team(SCRIPT, 4, tmp_path / "fresh").finish()
    shutil.copytree(folder / "run", tmp_path / "resumed" / "run")
    (tmp_path / "resumed" / "run" / "checkpoints" / f"{STEPS}.npz").unlink()
    team(SCRIPT, 4, tmp_path / "resumed").finish()
    for four in (tmp_path / "fresh", tmp_path / "resumed"):
        for index in range(4):
            assert equal(result(four, index), result(four, 0))
        close(result(four), result(folder))


@pytest.mark.slow
def test_matrices_are_split_over_processes(team, tmp_path: Path) -> None:
    """Both have the whole network at the end, that of one process, also where they were killed on the way."""
    alone, split = tmp_path / "alone", tmp_path / "split"
    team(SPLIT, 1, alone).finish()
    team(SPLIT, 2, split).finish()
    first = result(split)
    close(first, result(alone))
    assert equal(first, result(split, 1))
    (split / "run" / "checkpoints" / "8.npz").unlink()
    team(SPLIT, 2, split).finish()
    assert equal(first, result(split))
    assert equal(first, result(split, 1))


@pytest.mark.long
def test_one_process_resumes_what_two_have_begun(plain) -> None:
    folder, _ = plain
    out = folder / "run"
    (out / "checkpoints" / f"{STEPS}.npz").unlink()
    problem, net = network()
    with pytest.warns(UserWarning, match="'processes': 2.*may differ in the last bits"):
        fit(net, problem, STAGES, out=out, chunk=1, resume=True, progress=False)
    close([np.asarray(leaf) for leaf in jax.tree.leaves(net)], result(folder))
    assert [record["step"] for record in log(folder)] == list(range(1, STEPS + 1))
