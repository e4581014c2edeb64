"""What several commands share: arguments, run folders, tables and JSON results."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from unrollbit.packed import PackedNetwork, load
from unrollbit.packed.description import check_fingerprint
from unrollbit.problems import Problem

NETWORK_FILE = "network.safetensors"
LARGEST_SEED = 2**32 - 1


def add_common(parser: argparse.ArgumentParser, *, out: str, seed: int | None = 0) -> None:
    """``--seed``, ``--out`` and ``--json``; a seed of None stands for that of the config."""
    default = "that of the config" if seed is None else str(seed)
    parser.add_argument("--seed", type=seed_number, default=seed, metavar="N", help=f"random seed (default: {default})")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=out)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")


def seed_number(text: str) -> int:
    """A seed: 0 to 2^32 - 1."""
    return _bounded(text, 0, LARGEST_SEED)


def positive(text: str) -> int:
    """A positive integer."""
    return _bounded(text, 1, 2**31 - 1)


def _bounded(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected an integer from {low} to {high}, got {text!r}")
    return value


def open_network(path: Path) -> PackedNetwork:
    """A packed network from its file or run folder."""
    if path.is_dir():
        inside = path / NETWORK_FILE
        if not inside.exists():
            unfinished = (path / "metrics.jsonl").exists()
            hint = (
                "training has not finished; continue with unrollbit train --resume" if unfinished else "no run folder?"
            )
            raise ValueError(f"{path}: no {NETWORK_FILE} inside ({hint})")
        path = inside
    return load(path)


def problem_of(network: PackedNetwork, changes: Mapping[str, Any] | None = None) -> Problem:
    """The problem that a file carries, with the fields in ``changes`` replaced (None: removed, back to its default).

    Raises ``ValueError`` if the file carries no problem, for what the problem's constructor refuses, and for physics
    other than those of training: a network is for its A.
    """
    if network.problem is None:
        raise ValueError(
            "this file carries no problem, so no fresh signals can be drawn; save with pack(net, problem=...)"
        )
    changes = changes or {}
    spec = {name: value for name, value in network.problem.items() if name not in changes}
    # a removed field that the spec lacks goes to the constructor as None, which refuses names that it does not know
    spec |= {name: value for name, value in changes.items() if value is not None or name not in network.problem}
    problem = Problem.from_spec(spec)
    try:
        check_fingerprint(problem.operator, network.problem_fingerprint or [])
    except ValueError as error:
        if not changes:
            raise
        raise ValueError(
            f"{changes_text(changes)}: {error}. A network is for the physics it was trained on: change only what "
            "leaves A as it is, such as sparsity or snr_db"
        ) from error
    return problem


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Fields to replace in a problem, from ``NAME=VALUE`` with a TOML value each; ``none`` (None) removes the field.

    Raises ``ValueError`` for what is no ``NAME=VALUE``, a value that is no TOML and a name that is given twice.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, given, value = (part.strip() for part in text.partition("="))
        if not (name and given and value):
            raise ValueError(f"--set: expected NAME=VALUE, got {text!r}")
        if name in changes:
            raise ValueError(f"--set: {name} is given twice")
        changes[name] = None if value == "none" else _toml_value(name, value)
    return changes


def _toml_value(name: str, text: str) -> Any:
    try:
        if "\n" in text:  # more than one entry
            raise ValueError("expected one line")
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError as error:
        raise ValueError(
            f"--set {name}: {text!r} is no TOML value ({error}); expected a number, true, false, none or a string in "
            f"quotes, which the shell must not remove: --set {name}=\"'text'\""
        ) from error


def changes_text(changes: Mapping[str, Any]) -> str:
    """``sparsity = 0.15, snr_db = none``: changed fields for people."""
    return ", ".join(f"{name} = {'none' if value is None else value}" for name, value in changes.items())


def check_outputs(folder: Path, file: Path | None) -> None:
    """Refuse an ``--out`` folder and a ``--json`` file that cannot be written, before the work rather than after it."""
    if file is not None and file.is_dir():
        raise ValueError(f"--json: expected a file to write, got the folder {file}")
    for option, path in (("--out", folder), ("--json", None if file is None else file.parent)):
        if path is None:
            continue
        existing = next(part for part in (path, *path.parents) if part.exists())
        if not existing.is_dir():
            raise ValueError(f"{option}: {existing} is a file, so no folder {path} can be made; choose another")
        if not os.access(existing, os.W_OK):
            raise ValueError(f"{option}: the folder {existing} is not writable; choose another")


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write a result; numbers that are not finite become null, since JSON has none."""
    if path is not None:
        write_text(path, json.dumps(_finite(result), indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a whole file or none; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: Sequence[str] = ()) -> None:
    """A table on stdout; numbers right, text left."""
    table = Table(title=Text(title, style="bold"), title_justify="left", title_style="bold")
    for index, name in enumerate(columns):
        numeric = all(not isinstance(row[index], str) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(entry)) for entry in row))  # Text: brackets in paths are no markup
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False, markup=False)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        size = abs(value)
        digits = 4 if 0 < size < 0.1 else 3 if size < 10 else 1
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
