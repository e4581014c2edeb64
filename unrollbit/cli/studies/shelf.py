"""Trained networks as the input of a study: files, folders, or the shelf that the project ships."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unrollbit.cli.outputs import NETWORK_FILE

DEFAULT = Path("examples/networks")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks to measure."""
    parser.add_argument(
        "networks",
        nargs="*",
        type=Path,
        metavar="FILE|FOLDER",
        help=f"packed networks, or folders of them (default: those in {DEFAULT})",
    )


def network_files(given: Sequence[Path]) -> dict[str, Path]:
    """Packed networks by a name of their own: their file's, or their folder's where the file has the default name.

    Raises ``ValueError`` for a folder without packed networks.
    """
    found: list[Path] = []
    for path in given or (DEFAULT,):
        inside = sorted(path.glob("*.safetensors")) if path.is_dir() else [path] if given else []
        if not inside:
            hint = "" if given else "; name files or folders: unrollbit reproduce STUDY FILE|FOLDER ..."
            raise ValueError(f"{path}: no packed networks (.safetensors) here{hint}")
        found += inside
    files = list({path.resolve(): path for path in found}.values())  # each once
    names = [path.resolve().parent.name if path.name == NETWORK_FILE else path.stem for path in files]
    counts = Counter(names)
    return {name if counts[name] == 1 else path.as_posix(): path for name, path in zip(names, files, strict=True)}
