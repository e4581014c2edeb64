"""Work side by side: outcomes as they come, one thread each, and an end to all of it when one goes wrong."""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from unrollbit.cli.parallel import in_parallel

# A module that spawned processes can import whatever started the tests.
WORK = '''
import os, time
from pathlib import Path

def square(x):
    return x, x * x

def process(_):
    return os.getpid()

def environment(names):
    return {name: os.environ.get(name) for name in names}

def meet(task):
    """Say that this one is here and, if it waits, do not end before the other is here too."""
    own, other = task
    Path(own).write_text(str(os.getpid()))
    deadline = time.monotonic() + 60
    while other and not Path(other).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(other)
        time.sleep(0.01)
    return Path(own).name

def fail_or_wait(task):
    """One that fails once the other has begun; the other never ends by itself."""
    own, other = task
    if other:
        meet((own, other))
        raise ValueError("this one went wrong")
    scratch = Path(own + ".new")
    scratch.write_text(str(os.getpid()))
    scratch.rename(own)
    time.sleep(600)
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("work")
    (folder / "unrollbit_test_work.py").write_text(WORK)
    sys.path.insert(0, str(folder))
    yield importlib.import_module("unrollbit_test_work")
    sys.path.remove(str(folder))
    del sys.modules["unrollbit_test_work"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `in_parallel` sets for its processes is undone."""
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "")
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def assert_ends(pid: int) -> None:
    deadline = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


@pytest.mark.long
def test_every_task_has_its_outcome_and_is_described(work: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = list(in_parallel(work.square, [3, 1, 2, 5], 2, lambda outcome: f"square of {outcome[0]}"))
    assert sorted(outcomes) == [(1, 1), (2, 4), (3, 9), (5, 25)]
    captured = capsys.readouterr()
    assert sorted(line for line in captured.err.splitlines() if line.startswith("square")) == [
        f"square of {x}" for x in (1, 2, 3, 5)
    ]
    assert "4/4" in captured.err
    assert captured.out == ""


@pytest.mark.long
def test_followers_are_run_once_what_they_wait_for_is_there(
    work: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    followers = {3: [9], 9: [81, 4], 2: []}
    outcomes = list(in_parallel(work.square, [3, 2], 2, str, followers=lambda outcome: followers.get(outcome[0], [])))
    assert sorted(outcomes) == [(2, 4), (3, 9), (4, 16), (9, 81), (81, 6561)]
    order = [x for x, _ in outcomes]
    assert order.index(3) < order.index(9) < order.index(81)
    assert "5/5" in capsys.readouterr().err


@pytest.mark.long
def test_tasks_run_side_by_side_and_come_as_they_finish(work: ModuleType, tmp_path: Path) -> None:
    first, second = str(tmp_path / "first"), str(tmp_path / "second")
    assert sorted(in_parallel(work.meet, [(first, second), (second, first)], 2, str)) == ["first", "second"]
    slow, quick = str(tmp_path / "slow"), str(tmp_path / "quick")
    outcomes = in_parallel(work.meet, [(slow, str(tmp_path / "seen")), (quick, "")], 2, str)
    assert next(outcomes) == "quick"
    (tmp_path / "seen").touch()  # only now can the first task end
    assert list(outcomes) == ["slow"]


@pytest.mark.long
def test_one_worker_is_one_other_process_that_keeps_the_order(work: ModuleType) -> None:
    assert list(in_parallel(work.square, [3, 1, 2], 1, str)) == [(3, 9), (1, 1), (2, 4)]
    (process,) = set(in_parallel(work.process, [0, 1, 2], 1, str))
    assert process != os.getpid()


@pytest.mark.long
def test_each_process_has_one_thread_and_takes_no_gpu_for_itself(
    work: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    names = ("XLA_FLAGS", "XLA_PYTHON_CLIENT_PREALLOCATE")
    (found,) = in_parallel(work.environment, [names], 3, lambda outcome: "seen")
    flags = found["XLA_FLAGS"].split()
    assert flags[0] == "--xla_cpu_enable_fast_math=false"  # the user's own are kept
    assert {"--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1"} <= set(flags)
    assert found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_nothing_to_do_is_nothing_done(work: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    assert list(in_parallel(work.square, [], 2, str)) == []
    assert capsys.readouterr().err == ""
    assert dict(os.environ) == before


@pytest.mark.long
def test_an_exception_comes_through_and_ends_the_others(work: ModuleType, tmp_path: Path) -> None:
    waiting, failing = str(tmp_path / "waiting"), str(tmp_path / "failing")
    begun = time.monotonic()
    with pytest.raises(ValueError, match="this one went wrong"):
        list(in_parallel(work.fail_or_wait, [(waiting, ""), (failing, waiting), (failing, waiting)], 2, str))
    assert time.monotonic() - begun < 120
    assert_ends(int(Path(waiting).read_text()))


@pytest.mark.long
def test_who_stops_asking_ends_the_others(work: ModuleType, tmp_path: Path) -> None:
    waiting, seen = str(tmp_path / "waiting"), str(tmp_path / "seen")
    outcomes = in_parallel(work.meet, [(waiting, str(tmp_path / "never")), (seen, waiting)], 2, str)
    assert next(outcomes) == "seen"
    outcomes.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert_ends(int(Path(waiting).read_text()))


@pytest.mark.long
def test_descriptions_are_printed_as_they_are(work: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    list(in_parallel(work.square, [2], 1, lambda outcome: "runs[old]/net done"))
    assert "runs[old]/net done" in capsys.readouterr().err
