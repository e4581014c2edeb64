"""Reports that commands wrote, on the pages: ``{results}`` is a table, ``{result}`` a figure within a sentence.

Both read ``results/data``, so that a page cannot disagree with a run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective, SphinxRole

_WHOLE = 1000.0  # from here on numbers are shown without digits after the point
_FIGURE = re.compile(r"(?P<file>\S+) (?P<rows>[\w.-]+)(?:\[(?P<where>.*)\]\.(?P<key>[\w. -]+?))?(?::(?P<digits>\d+))?")
_COLUMN = re.compile(r"(?P<key>[^:=]+?)(?::(?P<digits>\d+))?(?: *= *(?P<heading>.+))?")
_NUMBER = re.compile(r"-|-?[\d.,]+(e-?\d+)?")
_SPREAD = re.compile(r"\{([\w.]+)\}")
DATA = Path(__file__).parent.parent / "results" / "data"

Row = dict[str, Any]


class Results(SphinxDirective):
    """Rows of a JSON report as a table.

    The argument is a file of ``results/data``; ``rows`` the key (dots go deeper) of a list of rows, or the keys of
    several that follow one another, with commas between; ``columns`` a list of ``key = heading`` or
    ``key:digits = heading``, the key being the heading where there is none; ``where`` as in ``{result}``; ``digits``
    those after the point, of columns without their own. Lists are shown entry by entry.

    A heading such as ``{batch} vectors`` spreads a column: one for each value of ``batch``. Rows that agree in the
    columns that are not spread are then one line.
    """

    required_arguments = 1
    option_spec = {  # noqa: RUF012 - what docutils asks for
        "rows": directives.unchanged_required,
        "columns": directives.unchanged_required,
        "where": directives.unchanged,
        "digits": directives.nonnegative_int,
    }

    def run(self) -> list[nodes.Node]:
        path = DATA / self.arguments[0]
        self.env.note_dependency(str(path))
        try:
            headings, body = table_of(json.loads(path.read_text()), **self.options)
        except (OSError, LookupError, TypeError, ValueError) as error:
            raise self.error(f"{path.name}: {error}") from error
        return [_table(headings, body)]


class Result(SphinxRole):
    """A figure of a JSON report within a sentence.

    ``file key`` is one value, ``file rows[where].key`` those of all rows for which ``where`` holds: ``low to high``
    where they differ. ``where`` is a list of ``key = value`` with semicolons between; ``a | b`` are two values, either
    of which will do. ``:2`` at the end asks for two digits after the point.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        try:
            self.env.note_dependency(str(DATA / self.text.split()[0]))
            return [nodes.Text(figure_of(self.text))], []
        except (OSError, LookupError, TypeError, ValueError) as error:
            message = self.inliner.reporter.error(f"{self.text}: {error}", line=self.lineno)
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]


class _Column(NamedTuple):
    key: str
    heading: str
    digits: int

    def shown(self, row: Row) -> str:
        return _shown(_value(row, self.key), self.digits)


def table_of(
    report: Any, *, rows: str = "rows", columns: str, where: str = "", digits: int = 1
) -> tuple[list[str], list[list[str]]]:
    """Headings and cells. Raises ``KeyError`` for a list that the report lacks, ``ValueError`` where no row is wanted,
    none has a column, or two of them have the same place.
    """
    found, wanted = _selected(report, rows, where), [_column(text, digits) for text in columns.split(",")]
    for column in wanted:
        if not any(_has(row, column.key) for row in found):
            known = ", ".join(found[0])
            raise ValueError(f"{rows} where {where}: no column {column.key!r}; they have {known}")
    fixed = [column for column in wanted if not _SPREAD.search(column.heading)]
    headings = {column: list(dict.fromkeys(_heading(column, row) for row in found)) for column in wanted}
    lines: dict[tuple[Any, ...], dict[tuple[_Column, str], str]] = {}
    for index, row in enumerate(found):
        same = (index,) if len(fixed) == len(wanted) else tuple(column.shown(row) for column in fixed)
        line = lines.setdefault(same, {})
        for column in wanted:
            place = column, _heading(column, row)
            if line.setdefault(place, column.shown(row)) != column.shown(row):
                raise ValueError(
                    f"two rows for {', '.join(map(str, same))} and {place[1]}: a column or a condition is missing"
                )
    places = [(column, heading) for column in wanted for heading in headings[column]]
    return [heading for _, heading in places], [[line.get(place, "-") for place in places] for line in lines.values()]


def figure_of(text: str) -> str:
    """The figure that a ``{result}`` role names. Raises as ``table_of`` does, and ``ValueError`` for other text."""
    parts = _FIGURE.fullmatch(text)
    if parts is None:
        raise ValueError(f"expected 'file key' or 'file rows[key = value].key', got {text!r}")
    report, digits = json.loads((DATA / parts["file"]).read_text()), int(parts["digits"] or 1)
    if parts["key"] is None:
        return _shown(_inside(report, parts["rows"]), digits)
    found = [_value(row, parts["key"]) for row in _selected(report, parts["rows"], parts["where"])]
    found = [value for value in found if value is not None]
    if not found:
        raise ValueError(f"{parts['rows']} where {parts['where']}: no {parts['key']!r}")
    low, high = _shown(min(found), digits), _shown(max(found), digits)
    return low if low == high else f"{low} to {high}"


def _selected(report: Any, rows: str, where: str) -> list[Row]:
    found = [row for keys in rows.split(",") for row in _inside(report, keys.strip())]
    for key, _, values in (pair.partition("=") for pair in where.split(";") if pair):
        allowed = {value.strip() for value in values.split("|")}
        found = [row for row in found if str(_value(row, key.strip())) in allowed]
    if not found:
        raise ValueError(f"no {rows} where {where}")
    return found


def _column(text: str, digits: int) -> _Column:
    parts = _COLUMN.fullmatch(text.strip())
    if parts is None:
        raise ValueError(f"columns: expected 'key', 'key = heading' or 'key:digits = heading', got {text.strip()!r}")
    return _Column(parts["key"], parts["heading"] or parts["key"], int(parts["digits"] or digits))


def _heading(column: _Column, row: Row) -> str:
    return _SPREAD.sub(lambda key: _shown(_value(row, key[1]), column.digits), column.heading)


def _inside(report: Any, keys: str) -> Any:
    for key in keys.split("."):
        report = report[key]
    return report


def _value(row: Row, key: str) -> Any:
    """What a row has under a key, or under keys with dots between; None for what it lacks."""
    value: Any = row
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _has(row: Row, keys: str) -> bool:
    first, _, rest = keys.partition(".")
    return first in row and (not rest or (isinstance(row[first], dict) and _has(row[first], rest)))


def _shown(value: Any, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_shown(entry, digits) for entry in value) or "-"
    if isinstance(value, float) and abs(value) >= _WHOLE:
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10**-digits or value == 0 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(headings: list[str], body: list[list[str]]) -> nodes.table:
    """Numbers right, text left."""
    table, group = nodes.table(), nodes.tgroup(cols=len(headings))
    table += group
    group += [nodes.colspec(colwidth=1) for _ in headings]
    right = [all(_NUMBER.fullmatch(line[index]) for line in body) for index in range(len(headings))]
    head, rows = nodes.thead(), nodes.tbody()
    head += _row(headings, right)
    rows += [_row(entries, right) for entries in body]
    group += [head, rows]
    return table


def _row(entries: Iterable[str], right: Iterable[bool]) -> nodes.row:
    row = nodes.row()
    for text, to_the_right in zip(entries, right, strict=True):
        row += nodes.entry("", nodes.paragraph(text=text), classes=["text-right"] if to_the_right else [])
    return row


def setup(app):
    app.add_directive("results", Results)
    app.add_role("result", Result())
    return {"parallel_read_safe": True}
