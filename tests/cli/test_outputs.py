"""Where commands write: never over an input or a network, checked before the work, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from unrollbit import FISTA, Unrolled, pack
from unrollbit.cli import main
from unrollbit.cli.outputs import JSON, MARKDOWN, NUMPY, Output, Outputs
from unrollbit.problems import SparseRecovery


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed network in a file, with measurements beside it."""
    folder = tmp_path_factory.mktemp("shipped")
    problem = SparseRecovery(8, 16)
    pack(Unrolled(FISTA(), problem, 2), problem=problem).save(folder / "net.safetensors")
    np.save(folder / "y.npy", np.random.RandomState(0).randn(3, 8).astype(np.float32))
    return folder / "net.safetensors"


@pytest.fixture
def here(shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with copies of both, and links to them."""
    for name in ("net.safetensors", "y.npy"):
        (tmp_path / name).write_bytes((shipped.parent / name).read_bytes())
    (tmp_path / "soft.npy").symlink_to("y.npy")
    os.link(tmp_path / "y.npy", tmp_path / "hard.npy")
    (tmp_path / "other.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes())
    (tmp_path / "notes.toml").write_text("a = 1\n")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


REFUSED = {
    "over the measurements": ("recover net.safetensors y.npy y.npy", "y.npy is an input"),
    "by another name": ("recover net.safetensors y.npy there/../y.npy", "is an input"),
    "through a symbolic link": ("recover net.safetensors y.npy soft.npy", "is an input"),
    "through a hard link": ("recover net.safetensors y.npy hard.npy", "is an input"),
    "from a link": ("recover net.safetensors soft.npy y.npy", "is an input"),
    "over the network": ("recover net.safetensors y.npy net.safetensors", "is an input"),
    "over another network": ("recover net.safetensors y.npy other.safetensors", "is a packed network"),
    "estimates over a config": ("recover net.safetensors y.npy notes.toml", "exists and is no .npy file"),
    "estimates into a folder": ("recover net.safetensors y.npy there", "got the folder there"),
    "a missing folder": ("recover net.safetensors y.npy new/x.npy", "mkdir -p new"),
    "below a file": ("recover net.safetensors y.npy y.npy/x.npy", "y.npy is a file"),
    "two results in one file": ("recover net.safetensors y.npy x.npy --json x.npy", "written by another option"),
    "JSON over measurements": ("recover net.safetensors y.npy x.npy --json y.npy", "y.npy is an input"),
    "JSON over a network": ("bits net.safetensors --json other.safetensors", "is a packed network"),
    "JSON over something else": ("bits net.safetensors --json notes.toml", "exists and is no JSON file"),
    "JSON into a missing folder": ("bits net.safetensors --json new/b.json", "mkdir -p new"),
    "a folder below a file": ("bits net.safetensors --out y.npy/b", "y.npy is a file"),
    "a file as a folder": ("evaluate net.safetensors --out y.npy", "y.npy is a file"),
    "a folder that the system refuses": ("evaluate net.safetensors --out /proc/x", "no folder /proc/x can be made"),
    "JSON where the system refuses": ("evaluate net.safetensors --json /proc/x.json", "is not writable"),
    "a card over its network": ("card net.safetensors --out net.safetensors", "is an input"),
    "a card over a config": ("card net.safetensors --out notes.toml", "is no Markdown file"),
    "a card in a missing folder": ("card net.safetensors --out new/net.md", "mkdir -p new"),
    "figures below a file": ("theory net.safetensors --out y.npy", "y.npy is a file"),
    "a study below a file": ("reproduce hard-signals net.safetensors --out y.npy", "y.npy is a file"),
    "a study's JSON over its network": ("reproduce hard-signals net.safetensors --json net.safetensors", "is an input"),
    "a run's JSON over its config": ("train notes.toml --json notes.toml", "notes.toml is an input"),
    "a run below a file": ("train notes.toml --out y.npy/run", "y.npy is a file"),
    "a benchmark below a file": ("bench --out y.npy", "y.npy is a file"),
    "a demo below a file": ("demo --out y.npy", "y.npy is a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_any_work_and_nothing_is_touched(
    case: str, here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, message = REFUSED[case]
    before = contents(here)
    monkeypatch.setattr("unrollbit.packed.load", pytest.fail)
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert len(error) < 300
    assert contents(here) == before
    assert not (here / "new").exists()


def test_demo_spares_the_network_of_a_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run").mkdir()
    (here / "net.safetensors").rename(here / "run" / "network.safetensors")
    assert main(["demo", "--out", "run"]) == 2
    assert "nothing is written over one" in capsys.readouterr().err


def test_results_of_the_same_kind_are_replaced(here: Path) -> None:
    for _ in range(2):
        assert main(["recover", "net.safetensors", "y.npy", "x.npy", "--json", "r.json", "--out", "results"]) == 0
    assert np.load("x.npy").shape == (3, 16)
    assert (here / "r.json").read_bytes() == (here / "results" / "recover.json").read_bytes()
    assert not list(here.glob(".unrollbit*"))


def test_output_through_a_link_leaves_the_link(here: Path) -> None:
    (here / "latest.json").symlink_to("there/b.json")
    assert main(["bits", "net.safetensors", "--json", "latest.json"]) == 0
    assert (here / "latest.json").is_symlink()
    assert (here / "there" / "b.json").read_text().startswith("{")


def test_json_to_a_device(here: Path) -> None:
    assert main(["bits", "net.safetensors", "--json", "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "there").chmod(0o500)
    assert main(["bits", "net.safetensors", "--json", "there/b.json"]) == 2
    assert "not writable" in capsys.readouterr().err


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}")

    def fail(file: object) -> None:
        file.write(b"half")  # pyright: ignore[reportAttributeAccessIssue]
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        Output(path).write(fail)
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text() == "{}"


def test_kinds_are_told_by_their_first_bytes(tmp_path: Path) -> None:
    texts = {"a.json": b'\n {"a": 1}', "a.npy": b"\x93NUMPY\x01\x00", "a.md": b"# Title\n"}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
        for kind, own in ((JSON, "a.json"), (NUMPY, "a.npy"), (MARKDOWN, "a.md")):
            if name == own:
                Outputs().file("--x", tmp_path / name, kind)
            else:
                with pytest.raises(ValueError, match=f"is no {kind.name}"):
                    Outputs().file("--x", tmp_path / name, kind)


def test_help_needs_no_jax() -> None:
    commands = [
        [],
        ["evaluate"],
        ["bits"],
        ["card"],
        ["recover"],
        ["train"],
        ["demo"],
        ["bench"],
        ["theory"],
        ["reproduce"],
    ]
    script = (
        "import contextlib, sys\n"
        "from unrollbit.cli import main\n"
        f"for command in {commands}:\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        main([*command, '--help'])\n"
        "    assert not {'jax', 'scipy', 'matplotlib', 'rich'} & set(sys.modules), command\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
