"""``metrics.jsonl``: the figures of a run, one JSON object a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from unrollbit.training.events import Event


class MetricsLog:
    """Consumer that appends the record of each event ``trained`` to ``records`` and, at once, to a file if it has one.

    A run that goes on from a checkpoint drops the lines of later steps, which are trained again; ``records`` are all
    that the file has then.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        match event.kind:
            case "started" if self.path is not None:
                self.records = [record for record in read_records(self.path) if record.get("step", 0) <= event.step]
                self.path.parent.mkdir(parents=True, exist_ok=True)
                scratch = self.path.with_suffix(".tmp")  # a kill while rewriting must not lose the log
                scratch.write_text("".join(map(_line, self.records)), encoding="utf-8")
                scratch.replace(self.path)
            case "trained":
                self._append(dict(event.record))

    def _append(self, record: dict[str, Any]) -> None:
        if self.path is not None:
            _write(self.path, record)
        self.records.append(record)


def _write(path: Path, record: dict[str, Any]) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(file, _line(record).encode())  # unbuffered: a full disk is one error, not a second at the end
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(file)


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that a kill has cut off is left out. A file that is missing has none."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record) + "\n"
