"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], notes: Sequence[str] = (), *, width: int = 140
) -> None:
    """A table on stdout, of the terminal's width or of ``width`` elsewhere; numbers right, text left.

    rich is imported when there is one.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", title_style="bold")
    for index, name in enumerate(columns):
        numeric = all(not isinstance(row[index], str) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(entry)) for entry in row))  # Text: brackets in paths are no markup
    console = Console(width=None if sys.stdout.isatty() else width)
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
