"""The folder of a training run: what is in it, and that one process at a time trains into it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # no POSIX: folders are not locked there
    fcntl = None

_SHOWN = 80  # characters of a command in a message


class RunFolder:
    """``checkpoints``, ``metrics.jsonl`` and, while a process trains, ``.lock`` in a folder.

    The lock is one of the operating system's (``flock``), so that it ends with its process however that ends; the file
    says who holds it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self._lock = self.path / ".lock"

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse a folder that holds a run already, unless told what to do with it. Touches nothing.

        Raises ``ValueError`` for such a folder, ``NotADirectoryError`` or ``PermissionError`` for one that cannot be
        made or written.
        """
        existing = next(part for part in (self.path, *self.path.absolute().parents) if part.exists())
        if not existing.is_dir():
            raise NotADirectoryError(f"out: {existing} is a file, so no run folder {self.path} can be made")
        if not os.access(existing, os.W_OK):
            raise PermissionError(f"out: the folder {existing} is not writable; choose another")
        if self.used() and not (resume or overwrite):
            raise ValueError(
                f"{self.path} holds a run already: pass resume=True to continue it, overwrite=True to replace it, or "
                "choose another folder"
            )

    def used(self) -> bool:
        """Whether a run has left anything here."""
        return self.metrics.exists() or (self.checkpoints.is_dir() and any(self.checkpoints.iterdir()))

    def erase(self) -> None:
        """Remove what a run has left."""
        if self.checkpoints.exists():
            shutil.rmtree(self.checkpoints)
        self.metrics.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes (and threads) from training into this folder meanwhile.

        Raises ``ValueError`` that names the process that does so already. The lock of a killed process is none.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        file = self._acquire()
        try:
            os.write(file, json.dumps(_myself()).encode())
            yield
        finally:
            self._lock.unlink(missing_ok=True)  # before others can have it: they look whether it is still there
            os.close(file)

    def _acquire(self) -> int:
        while True:
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(file, 4096)
                os.close(file)
                raise ValueError(
                    f"{self.path}: {_described(holder)} is training into this folder; wait until it has ended, or "
                    "choose another folder"
                ) from None
            with contextlib.suppress(FileNotFoundError):  # its holder has just removed it, and so released it
                if os.path.samestat(os.fstat(file), self._lock.stat()):
                    os.ftruncate(file, 0)
                    return file
            os.close(file)


def _myself() -> dict[str, str | int]:
    program = Path(sys.argv[0] or "python")
    name = program.parent.name if program.name == "__main__.py" else program.name  # python -m unrollbit
    command = " ".join([name, *sys.argv[1:]])[:_SHOWN]
    since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return {"process": os.getpid(), "command": command, "host": platform.node(), "since": since}


def _described(holder: bytes) -> str:
    try:
        found = json.loads(holder)
        return f"process {found['process']} ({found['command']} on {found['host']}, since {found['since']})"
    except (ValueError, KeyError, TypeError):  # it has the lock and is about to write its name
        return "another process"
