"""`unrollbit train`: into a used folder, interrupted, on a full disk, without a gain."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unrollbit.cli import main

CONFIG = """
[problem]
kind = "SparseRecovery"
m = 8
n = 16
[network]
depth = 2
algorithm = { kind = "ISTA", regularisation = 0.05 }
[[stages]]
steps = 4
batch = 4
"""


# What the shell starts in the background ignores ctrl-c, and its children, as of a test run there, inherit that.
INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from unrollbit.cli import main
sys.exit(main())
"""


def invoke(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "small.toml").write_text(CONFIG)
    return tmp_path / "small.toml"


@pytest.mark.long
def test_a_used_folder_is_replaced_only_when_asked(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = config.parent / "run"
    assert invoke("train", config, "--out", run, "--quiet") == 0
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert invoke("train", config, "--out", run, "--quiet", "--seed", 1) == 2
    error = capsys.readouterr().err
    assert "--resume to continue it, --overwrite to replace the run in it, or another --out" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert invoke("train", config, "--out", run, "--quiet", "--seed", 1, "--overwrite", "--resume") == 2
    result = config.parent / "result.json"
    assert invoke("train", config, "--out", run, "--quiet", "--seed", 1, "--overwrite", "--json", result) == 0
    assert (run / "metrics.jsonl").read_bytes() != before[run / "metrics.jsonl"]
    assert (run / "config.toml").read_text() == CONFIG
    assert json.loads(result.read_text())["kept_step"] == 4


@pytest.mark.long
def test_a_full_disk_is_one_line(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(file, **arrays) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("unrollbit.training.checkpoint.np.savez", full)
    assert invoke("train", config, "--out", config.parent / "run", "--quiet") == 2
    error = capsys.readouterr().err
    assert "a checkpoint cannot be written (No space left on device); no checkpoint is there yet" in error
    assert error.count("\n") == 1


@pytest.mark.long
def test_an_interrupt_is_one_line_and_keeps_a_checkpoint(config: Path) -> None:
    config.write_text(CONFIG.replace("steps = 4", "steps = 1000000"))
    run = config.parent / "run"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-c", INTERRUPTIBLE, "train", str(config), "--out", str(run), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 120
        while not ((run / "metrics.jsonl").exists() and (run / "metrics.jsonl").read_text()):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        error = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert error.count("\n") == 1
    checkpoint = max((run / "checkpoints").glob("*.npz"), key=lambda path: int(path.stem))  # slow machines made others
    assert f"interrupted after step {checkpoint.stem} of 1000000; {run} keeps it: continue with resume" in error
