"""Where a command writes: checked before the work begins, written whole or not at all, never over an input.

One rule for all commands: a file goes into a folder that exists, ``--out FOLDER`` is made. What exists already is
replaced only by a file of its own kind, and never a packed network or a file that the command reads, by whatever name.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

NETWORK_FILE, REPORT_FILE = "network.safetensors", "report.json"
DATA_FILE = "data.json"  # of a run folder: where its data lies, which the network's file does not say
RUN_FILES = (NETWORK_FILE, "config.toml", "config.json", "metrics.jsonl")  # what commands read of a run folder


class Kind(NamedTuple):
    """A kind of file, known by its first bytes."""

    name: str
    start: bytes


JSON = Kind("JSON file", b"{")
PNG = Kind("PNG file", b"\x89PNG")
NUMPY = Kind(".npy file", b"\x93NUMPY")
C_SOURCE = Kind("C file with a comment at its start", b"/*")
ONNX = Kind("ONNX model", b"\x08")
STABLEHLO = Kind("program of jax.export", b"<\0\0\0")
NEW = Kind("empty file", b"\0 nothing begins so")  # what replaces no file at all
MARKDOWN = Kind("Markdown file with a title", b"#")


class Output:
    """A file to write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, fill: Callable[[BinaryIO], Any]) -> None:
        """``fill`` writes to a scratch file that then takes the place of what was there."""
        target = Path(os.path.realpath(self.path))  # through a link, as any program writes
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe
            with target.open("wb") as file:
                fill(file)
            return
        scratch = _scratch(target.parent)
        try:
            with scratch.open("xb") as file:
                fill(file)
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)

    def write_text(self, text: str) -> None:
        """UTF-8; what has no place in it, such as a file name of undecodable bytes, is written with backslashes."""
        self.write(lambda file: file.write(text.encode("utf-8", "backslashreplace")))

    def write_json(self, result: Mapping[str, Any]) -> None:
        """Numbers that are not finite become null, since JSON has none."""
        self.write_text(json.dumps(_finite(result), indent=1, allow_nan=False) + "\n")


class Reports(tuple[Output, ...]):
    """The JSON files of a result: that of ``--json`` and that in the folder of ``--out``."""

    def write(self, result: Mapping[str, Any]) -> None:
        for output in self:
            output.write_json(result)


class Outputs:
    """The outputs of a command that reads ``inputs`` (files, or run folders with what lies in them).

    Every method checks at once and raises ``ValueError`` that says what is wrong with which option, or ``OSError``.

    Example:
        >>> outputs = Outputs(Path("y.npy"))
        >>> outputs.file("X.npy", Path("y.npy"), NUMPY)
        Traceback (most recent call last):
        ...
        ValueError: X.npy: y.npy is an input, and nothing is written over an input; choose another file
    """

    def __init__(self, *inputs: Path) -> None:
        self._inputs = [*inputs, *(path / name for path in inputs if path.is_dir() for name in RUN_FILES)]
        self._outputs: list[Path] = []

    def file(self, option: str, path: Path, kind: Kind, *, into: Path | None = None) -> Output:
        """A file that replaces at most one of its own kind; ``into`` is a folder that is made for it."""
        if path.is_dir():
            raise ValueError(f"{option}: expected a file to write, got the folder {path}")
        if into is None and not path.parent.exists():
            raise ValueError(
                f"{option}: the folder {path.parent} does not exist; make it (mkdir -p {path.parent}) or choose another"
            )
        if into is None and not path.parent.is_dir():
            raise ValueError(f"{option}: {path.parent} is a file, so {path} cannot be written; choose another place")
        if _among(path, self._inputs):
            raise ValueError(f"{option}: {path} is an input, and nothing is written over an input; choose another file")
        if _among(path, self._outputs):
            raise ValueError(f"{option}: {path} is written by another option already; choose another file")
        if path.is_file():
            if _is_network(path):
                raise ValueError(
                    f"{option}: {path} is a packed network, and nothing is written over one; choose another file"
                )
            if not _is(kind, path):
                raise ValueError(
                    f"{option}: {path} exists and is no {kind.name}, so it is not replaced; choose another file"
                )
            if not os.access(path, os.W_OK):
                raise ValueError(f"{option}: {path} is read-only; choose another file")
        if into is None and (path.is_file() or not path.exists()):
            _try_writing(option, Path(os.path.realpath(path)).parent)
        self._outputs.append(path)
        return Output(path)

    def folder(self, option: str, path: Path) -> Path:
        """A folder, made when its first file is written."""
        existing = next(part for part in (path, *path.absolute().parents) if part.exists() or part.is_symlink())
        if not existing.is_dir():
            raise ValueError(f"{option}: {existing} is a file, so no folder {path} can be made; choose another")
        missing = [part for part in reversed((path, *path.parents)) if not part.exists()]
        made: list[Path] = []
        try:
            for part in missing:
                part.mkdir()
                made.append(part)
            _try_writing(option, path)
        except OSError as error:
            raise ValueError(f"{option}: no folder {path} can be made ({error.strerror}); choose another") from error
        finally:
            for part in reversed(made):  # a command that fails leaves no empty folder
                part.rmdir()
        return path

    def reports(self, json_file: Path | None, folder: Path | None = None, name: str = REPORT_FILE) -> Reports:
        """The JSON of ``--json FILE``, and of ``--out FOLDER`` as ``FOLDER/name``."""
        found: list[Output] = []
        if json_file is not None:
            found.append(self.file("--json", json_file, JSON))
        if folder is not None:
            found.append(self.file("--out", self.folder("--out", folder) / name, JSON, into=folder))
        return Reports(found)


def _among(path: Path, others: Iterable[Path]) -> bool:
    """Whether one of them is the same file, through links as well."""
    real = os.path.realpath(path)
    for other in others:
        if os.path.realpath(other) == real or (path.exists() and other.exists() and path.samefile(other)):
            return True
    return False


def _scratch(folder: Path) -> Path:
    return folder / f".unrollbit-{os.getpid()}.tmp"


def _try_writing(option: str, folder: Path) -> None:
    """Raise ``ValueError`` where no file can be made: permissions alone do not tell (root, read-only mounts, /proc)."""
    scratch = _scratch(folder)
    try:
        with scratch.open("wb"):
            pass
        scratch.unlink()
    except OSError as error:
        raise ValueError(f"{option}: the folder {folder} is not writable ({error.strerror}); choose another") from error


def _is(kind: Kind, path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(len(kind.start) + 64).lstrip()
    return not start or start.startswith(kind.start)


def _is_network(path: Path) -> bool:
    """Whether a file begins as safetensors do: the length of a JSON object, and its brace."""
    with path.open("rb") as file:
        start = file.read(9)
    return len(start) == 9 and start[8:] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= path.stat().st_size


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
