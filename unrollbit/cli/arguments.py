"""Arguments that several commands share, and a parser that asks a command for its own when they are needed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unrollbit.cli.tables import FORMS

LARGEST_SEED = 2**32 - 1
PHOTOGRAPHS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")  # endings of their files


class LazyParser(argparse.ArgumentParser):
    """A parser that calls ``fill(parser)`` for its arguments when it parses: help of one command imports no other."""

    def __init__(self, *positional: Any, fill: Callable[[argparse.ArgumentParser], None], **options: Any) -> None:
        super().__init__(*positional, **options)
        self._fill: Callable[[argparse.ArgumentParser], None] | None = fill

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in ``argparse``."""
        fill, self._fill = self._fill, None
        if fill is not None:
            fill(self)
        return super().parse_known_args(args, namespace)


def add_network(parser: argparse.ArgumentParser, metavar: str = "RUN|FILE") -> None:
    """The network that a command reads, and the modules of its kinds."""
    parser.add_argument("network", type=Path, metavar=metavar, help="run folder or packed network")
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """``--import``."""
    parser.add_argument(
        "--import",
        action="append",
        default=[],
        dest="imports",
        metavar="MODULE",
        help="import a module (or a .py file) of your own first: its operators, structures, shrinkages, algorithms, "
        "formats and problems are then known by name; may be repeated",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """``--data``: a file says what data its network was trained on, not where that lies."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="where the data of the problem lies, if it has been moved since training (arrays, a folder of images)",
    )


def add_common(parser: argparse.ArgumentParser, *, out: str, seed: int | None = 0) -> None:
    """``--seed``, ``--out``, ``--json`` and ``--table``; a seed of None stands for that of the config."""
    default = "that of the config" if seed is None else str(seed)
    parser.add_argument("--seed", type=seed_number, default=seed, metavar="N", help=f"random seed (default: {default})")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"{out}; made if it is missing")
    add_result(parser)


def add_result(parser: argparse.ArgumentParser) -> None:
    """``--json`` and ``--table``."""
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the result as JSON, into a folder that exists"
    )
    parser.add_argument(
        "--table", choices=tuple(FORMS), default="text", help="form of the tables: text (default), Markdown, LaTeX"
    )


def seed_number(text: str) -> int:
    """A seed: 0 to 2^32 - 1."""
    return _bounded(text, 0, LARGEST_SEED)


def positive(text: str) -> int:
    """A positive integer."""
    return _bounded(text, 1, 2**31 - 1)


def index_number(text: str) -> int:
    """An index: 0 or more."""
    return _bounded(text, 0, 2**31 - 1)


def _bounded(text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"expected an integer from {low} to {high}, got {text!r}")
    return value
