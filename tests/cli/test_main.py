"""How commands end: one line and an exit code for whatever happens, and no result lost to printing it."""

from __future__ import annotations

import argparse
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unrollbit import FISTA, TrainingDiverged, Unrolled, pack
from unrollbit.cli import main
from unrollbit.cli.tables import print_table
from unrollbit.problems import SparseRecovery

CONFIG = """
[problem]
kind = "SparseRecovery"
m = 8
n = 16
[recipe]
name = "full_precision"
depth = 2
steps = 2
batch = 4
"""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("größe 大小")
    problem = SparseRecovery(8, 16)
    pack(Unrolled(FISTA(), problem, 2), problem=problem).save(folder / "nétwork.safetensors")
    np.save(folder / "ÿ.npy", np.ones((3, 8), np.float32))
    (folder / "κ.toml").write_text(CONFIG)
    return folder / "nétwork.safetensors"


def ascii_stream() -> io.TextIOWrapper:
    """What ``PYTHONIOENCODING=ascii`` makes of a standard stream."""
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")


COMMANDS: dict[str, tuple[str, str]] = {
    "recover": ("recover nétwork.safetensors ÿ.npy ξ.npy --json r.json", "ξ.npy"),
    "bits": ("bits nétwork.safetensors --json r.json", "r.json"),
    "card": ("card nétwork.safetensors --samples 4 --seeds 1 --out κάρτα.md --json r.json", "κάρτα.md"),
    "evaluate": ("evaluate nétwork.safetensors --samples 4 --no-classic --json r.json", "r.json"),
    "train": ("train κ.toml --out λ --quiet --json r.json", "λ/network.safetensors"),
    "mistake": ("bits ö.safetensors", ""),
}


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_any_text_is_printed_in_any_encoding(command: str, shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, written = COMMANDS[command]
    monkeypatch.chdir(shipped.parent)
    streams = ascii_stream(), ascii_stream()
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    code = main(words.split())
    for stream in streams:
        stream.flush()
    printed = "".join(stream.buffer.getvalue().decode("ascii") for stream in streams)  # pyright: ignore
    assert code == (0 if written else 2), printed
    assert not written or Path(written).exists()
    assert "\\x" in printed or "\\u" in printed  # the name, escaped


def test_tables_of_any_text_are_printed_in_any_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = ascii_stream()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr("unrollbit.cli.bits.run", lambda options: print_table("größe", ("大",), [("ξ",)], ["→"]))
    assert main(["bits", "x"]) == 0
    assert b"\\xdf" in stream.buffer.getvalue()  # pyright: ignore


def undecodable() -> str:
    return os.fsdecode(b"net\xff.safetensors")


@pytest.mark.long
def test_names_that_are_no_text(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(undecodable()).write_bytes(shipped.read_bytes())
    assert main(["card", undecodable(), "--samples", "4", "--seeds", "1", "--json", "c.json"]) == 0
    assert Path(undecodable()).with_suffix(".md").read_text().startswith("# net\\udcff")


def fail_with(error: BaseException) -> Callable[[argparse.Namespace], None]:
    def run(options: argparse.Namespace) -> None:
        raise error

    return run


def from_a_library(cause: BaseException) -> RuntimeError:
    error = RuntimeError("checkpoint 7 of 9 could not be finalised")
    error.__cause__ = cause
    return error


NO_SPACE = OSError(errno.ENOSPC, "No space left on device", "runs/x")
ENDS: dict[str, tuple[BaseException, int, str]] = {
    "interrupted": (KeyboardInterrupt(), 130, "interrupted"),
    "interrupted in a library": (from_a_library(KeyboardInterrupt()), 130, "interrupted"),
    "diverged": (TrainingDiverged("the loss\nis NaN"), 1, "the loss is NaN"),
    "mistake": (ValueError("expected\n  this, got that"), 2, "expected this, got that"),
    "full disk": (NO_SPACE, 2, "No space left on device: runs/x"),
    "full disk in a library": (from_a_library(NO_SPACE), 2, "No space left on device: runs/x"),
    "memory": (MemoryError("Unable to allocate 4 TiB"), 2, "out of memory (Unable to allocate 4 TiB)"),
    "memory in XLA": (from_a_library(RuntimeError("RESOURCE_EXHAUSTED: 9 GB\nmore")), 2, "out of memory"),
}


@pytest.mark.parametrize("case", ENDS)
def test_every_end_is_one_line(case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    error, code, message = ENDS[case]
    monkeypatch.setattr("unrollbit.cli.bits.run", fail_with(error))
    assert main(["bits", "x"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("unrollbit: error: ")
    assert message in printed
    assert printed.count("\n") == 1


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unrollbit.cli.bits.run", fail_with(TypeError("a bug")))
    with pytest.raises(TypeError, match="a bug"):
        main(["bits", "x"])


# What the shell starts in the background ignores ctrl-c, and its children, as of a test run there, inherit that.
ENDING = """
import os, signal, sys
from unrollbit.cli import bits, main
signal.signal(signal.SIGINT, signal.default_int_handler)
def run(options):
    {body}
bits.run = run
sys.exit(main(["bits", "x"]))
"""


def ended(body: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ENDING.format(body=body)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, **options)  # pyright: ignore


def test_ctrl_c_ends_a_process_with_one_line() -> None:
    done = ended("os.kill(os.getpid(), signal.SIGINT)")
    assert done.returncode == 130
    assert done.stderr == "unrollbit: error: interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        done = ended("print('result')", stdout=full)
    assert done.returncode == 2
    assert done.stderr == "unrollbit: error: No space left on device: standard output\n"


def test_a_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = ended("print('result' * 100000)", stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""
