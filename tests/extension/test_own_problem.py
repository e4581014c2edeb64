"""A problem of a user's own, in one file: in Python, in TOML, in a packed file and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from unrollbit import load
from unrollbit.cli import main
from unrollbit.extensions import import_extension
from unrollbit.problems import Gaussian, Problem

CONFIG = """
import = "pulses.py"
[problem]
kind = "Pulses"
decay = 0.7
[recipe]
name = "full_precision"
depth = 2
steps = 2
batch = 4
"""


def test_a_problem_takes_a_few_lines(own: Path) -> None:
    lines = (own / "pulses.py").read_text().splitlines()
    assert sum(1 for line in lines if line.strip() and not line.startswith(('"""', "import", "from"))) <= 12


def test_in_python(own: Path) -> None:
    pulses = import_extension(str(own / "pulses.py")).Pulses(decay=0.7)
    assert pulses.to_spec() == {"kind": "Pulses", "decay": 0.7, "n": 16, "sparsity": 0.1}
    noisy = type(pulses)(noise=Gaussian(sigma=0.1))
    assert Problem.from_spec(json.loads(json.dumps(noisy.to_spec()))) == noisy
    assert Problem.from_spec(json.loads(json.dumps(pulses.to_spec()))).to_spec() == pulses.to_spec()
    assert repr(pulses.split("test")) == "Pulses(decay=0.7, n=16, sparsity=0.1).split('test')"


@pytest.mark.long
def test_in_toml_in_a_file_and_on_the_command_line(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pulses.py").write_text((own / "pulses.py").read_text())
    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)

    def unrollbit(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "unrollbit", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    trained = unrollbit("train", "c.toml", "--out", "run", "--quiet")
    assert trained.returncode == 0, trained.stderr
    evaluate = ("evaluate", "run", "--samples", "8", "--no-classic")
    unknown = unrollbit(*evaluate)
    assert unknown.returncode == 2
    assert "Pulses" in unknown.stderr
    assert "--import" in unknown.stderr
    for module in ("pulses.py", "pulses"):
        done = unrollbit(*evaluate, "--import", module)
        assert done.returncode == 0, done.stderr
    assert load("run/network.safetensors").problem["kind"] == "Pulses"


BAD = {
    "none.py": ("", "no such file"),
    "no_such_module": ("", "ModuleNotFoundError"),
    "wrong.py": ("1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_imported_is_one_clear_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, message = BAD[name]
    if name == "wrong.py":
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["bits", "x", "--import", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert f"import {name}" in error
    assert error.count("\n") == 1


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path: Path) -> None:
    """As those of two runs are; and a file may be called as a module that is there."""
    files = [tmp_path / folder / name for folder in ("a", "b") for name in ("camera_of_a_run.py", "json.py")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"place = {str(file)!r}")
    modules = [import_extension(str(file)) for file in files]
    assert [module.place for module in modules] == [str(file) for file in files]
    assert all(sys.modules[module.__name__] is module for module in modules)
    assert import_extension(str(files[-1])) is modules[-1]
    assert sys.modules["json"] is json
