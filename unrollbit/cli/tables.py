"""Tables on the terminal, as text or for a document."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

Rows = Sequence[Sequence[Any]]
_chosen = "text"  # the form of this process's tables, one of FORMS
_TEX = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def choose_form(name: str) -> None:
    """The form of all tables from here on, a name in ``FORMS``."""
    global _chosen
    _chosen = name


def print_table(title: str, columns: Sequence[str], rows: Rows, notes: Sequence[str] = (), *, width: int = 140) -> None:
    """A table on stdout in the chosen form; numbers right, text left.

    As text it is as wide as the terminal, or ``width`` elsewhere.
    """
    FORMS[_chosen](title, columns, rows, notes, width)


def _as_text(title: str, columns: Sequence[str], rows: Rows, notes: Sequence[str], width: int) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", title_style="bold")
    for name, numeric in zip(columns, _numeric(columns, rows), strict=True):
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(entry)) for entry in row))  # Text: brackets in paths are no markup
    console = Console(width=None if sys.stdout.isatty() else width)
    console.print(table)
    for note in notes:
        console.print(note, highlight=False, markup=False)


def _as_markdown(title: str, columns: Sequence[str], rows: Rows, notes: Sequence[str], width: int) -> None:
    del width
    rule = ["---:" if numeric else "---" for numeric in _numeric(columns, rows)]
    lines = [[*columns], *([_text(entry) for entry in row] for row in rows)]
    cells = [" | ".join(entry.replace("|", "\\|") for entry in line) for line in lines]
    cells.insert(1, " | ".join(rule))
    print("\n".join([f"**{title}**", "", *(f"| {line} |" for line in cells), "", *(f"{note}\n" for note in notes)]))


def _as_latex(title: str, columns: Sequence[str], rows: Rows, notes: Sequence[str], width: int) -> None:
    """A ``table`` of the package booktabs."""
    del width
    kinds = "".join("r" if numeric else "l" for numeric in _numeric(columns, rows))
    head, *body = ([_escaped(_text(entry)) for entry in line] for line in ([*columns], *rows))
    caption = " ".join(map(_escaped, (title.rstrip(".") + ".", *notes)))
    begin = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{kinds}}}", r"\toprule"]
    end = [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    lines = [" & ".join(line) + r" \\" for line in body]
    print("\n".join([*begin, " & ".join(head) + r" \\", r"\midrule", *lines, *end]))


FORMS: dict[str, Callable[[str, Sequence[str], Rows, Sequence[str], int], None]] = {
    "text": _as_text,
    "md": _as_markdown,
    "tex": _as_latex,
}


def _numeric(columns: Sequence[str], rows: Rows) -> list[bool]:
    """Which columns hold no text."""
    return [all(not isinstance(row[index], str) for row in rows) for index in range(len(columns))]


def _escaped(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        size = abs(value)
        digits = 4 if 0 < size < 0.1 else 3 if size < 10 else 2 if size < 100 else 1
        return f"{value:.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
