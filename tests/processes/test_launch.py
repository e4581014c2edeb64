"""``unrollbit train --processes N``: started, killed, continued, and told what is wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit.cli import main
from unrollbit.packed import load
from unrollbit.training.checkpoint import Checkpoints

CONFIG = """
[problem]
kind = "SparseRecovery"
m = 8
n = 16

[network]
algorithm = {kind = "ISTA"}
depth = 1

[[stages]]
steps = 3000
batch = 4
"""
PATIENCE = 1200


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("tiny.toml").write_text(CONFIG)
    return "tiny.toml"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--process", "0"), "--process and --coordinator go with --processes N"),
        (("--distributed", "--processes", "2"), "none of the three with --distributed"),
        (("--processes", "2", "--coordinator", "10.0.0.1:80"), "which of the processes is this"),
        (("--processes", "2", "--process", "2", "--coordinator", "10.0.0.1:80"), "expected I < N"),
    ],
)
def test_who_the_others_are(config: str, arguments: tuple[str, ...], message: str, capsys) -> None:
    assert main(["train", config, *arguments]) == 2
    assert message in capsys.readouterr().err


def start(config: str, *arguments: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "unrollbit", "train", config, "--processes", "2", "--out", "run", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.long
@pytest.mark.skipif(jax.default_backend() != "cpu" or not Path("/proc/self/task").exists(), reason="Linux, on the CPU")
def test_one_of_two_is_killed_and_both_are_started_again(config: str) -> None:
    run, deadline = start(config), time.monotonic() + PATIENCE
    try:
        while not Path("run/metrics.jsonl").exists() or not Path("run/metrics.jsonl").stat().st_size:
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        both = children(run)
        assert len(both) == 2
        os.kill(both[1], signal.SIGKILL)
        _, error = run.communicate(timeout=PATIENCE)
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 2
    assert "process 1 was killed (signal 9); what it trained is kept: continue with --resume" in error
    assert not any(Path(f"/proc/{pid}").exists() for pid in both), "none of them is left"
    assert not Path("run/network.safetensors").exists()

    run = start(config, "--resume")
    try:
        output, error = run.communicate(timeout=PATIENCE)
    finally:
        run.kill()
    assert run.returncode == 0, error
    assert len(re.findall("validation_nmse_db", output)) == 1, "one of them reports"
    assert load("run/network.safetensors")(np.ones(8, np.float32)).shape == (16,)
    assert max(Checkpoints(Path("run/checkpoints")).steps()) == 3000
