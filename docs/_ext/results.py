"""``{results} file``: a table of a report that a command wrote, so that a page cannot disagree with a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

_WHOLE = 1000.0  # from here on numbers are shown without digits after the point
DATA = Path(__file__).parent.parent / "results" / "data"


class Results(SphinxDirective):
    """Rows of a JSON report as a table.

    The argument is a file of ``results/data``; ``rows`` the key (dots go deeper) of a list of tables; ``columns`` a
    list of ``key`` or ``key = heading``; ``where`` a list of ``key = value`` that rows must have; ``digits`` those
    after the point. Lists are shown entry by entry.
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
        except (OSError, KeyError, ValueError) as error:
            raise self.error(f"{path.name}: {error}") from error
        return [_table(headings, body)]


def table_of(
    report: Any, *, rows: str = "rows", columns: str, where: str = "", digits: int = 1
) -> tuple[list[str], list[list[str]]]:
    """Headings and cells. Raises ``KeyError`` for a list that the report lacks, ``ValueError`` where no row is wanted
    or none has a column.
    """
    found = _inside(report, rows)
    for key, _, value in (pair.partition("=") for pair in where.split(",") if pair):
        found = [row for row in found if str(row.get(key.strip())) == value.strip()]
    if not found:
        raise ValueError(f"no {rows} where {where}")
    pairs = [
        (key.strip(), (heading or key).strip()) for key, _, heading in (c.partition("=") for c in columns.split(","))
    ]
    for key, _ in pairs:
        if not any(key in row for row in found):
            raise ValueError(f"{rows} where {where}: no column {key!r}; they have {', '.join(found[0])}")
    return [heading for _, heading in pairs], [[_shown(row.get(key), digits) for key, _ in pairs] for row in found]


def _inside(report: Any, keys: str) -> list[dict[str, Any]]:
    for key in keys.split("."):
        report = report[key]
    return report


def _shown(value: Any, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_shown(entry, digits) for entry in value) or "-"
    if isinstance(value, float) and abs(value) >= _WHOLE:
        return f"{value:,.0f}"
    if isinstance(value, float):
        return f"{value:.{digits}f}" if abs(value) >= 0.5 * 10**-digits or value == 0 else f"{value:.2g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(headings: list[str], body: list[list[str]]) -> nodes.table:
    table, group = nodes.table(), nodes.tgroup(cols=len(headings))
    table += group
    group += [nodes.colspec(colwidth=1) for _ in headings]
    head, rows = nodes.thead(), nodes.tbody()
    head += _row(headings)
    rows += [_row(entries) for entries in body]
    group += [head, rows]
    return table


def _row(entries: list[str]) -> nodes.row:
    row = nodes.row()
    row += [nodes.entry("", nodes.paragraph(text=entry)) for entry in entries]
    return row


def setup(app):
    app.add_directive("results", Results)
    return {"parallel_read_safe": True}
