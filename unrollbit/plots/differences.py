"""Changes against a reference, one row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from unrollbit.plots.style import COLUMN, GREY, line_styles, paper_style

_KEYS = ("ingredient", "network", "change", "changes")


def differences(rows: Sequence[Mapping[str, Any]], *, xlabel: str) -> Figure:
    """A dot at the mean change of every row and a small mark for each seed; rows are grouped by ``ingredient``.

    Each row has ``ingredient`` (a heading; "" for the reference), ``network``, ``change`` (mean, dB) and ``changes``
    (one per seed). Raises ``ValueError`` without rows or for missing keys.
    """
    if not rows:
        raise ValueError("differences: expected at least one row")
    for row in rows:
        if missing := [key for key in _KEYS if key not in row]:
            raise ValueError(f"differences: a row lacks {', '.join(missing)}: {dict(row)}")
    lines: list[tuple[str, Mapping[str, Any] | None]] = []
    for ingredient in dict.fromkeys(str(row["ingredient"]) for row in rows):
        if ingredient:
            lines.append((ingredient, None))
        lines += [(str(row["network"]), row) for row in rows if str(row["ingredient"]) == ingredient]
    colour = next(line_styles())["color"]
    with paper_style():
        figure = Figure(figsize=(1.5 * COLUMN, 0.5 + 0.155 * len(lines)), layout="constrained")
        axes = figure.subplots()
        axes.axvline(0, color=GREY, linewidth=0.8)
        for line, (_, row) in enumerate(lines):
            if row is not None:
                axes.plot(row["changes"], [line] * len(row["changes"]), "|", color=GREY, markersize=5)
                axes.plot([row["change"]], [line], "o", color=colour)
        axes.set(xlabel=xlabel, ylim=(len(lines) - 0.4, -0.6), yticks=range(len(lines)))
        axes.set_yticklabels([label for label, _ in lines])
        for label, (_, row) in zip(axes.get_yticklabels(), lines, strict=True):
            label.set_fontweight("bold" if row is None else "normal")
        axes.tick_params(axis="y", length=0)
    return figure
