"""Theorems against measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from unrollbit.plots.style import COLUMN, GREY, TEXT, line_styles, paper_style

_KEYS = ("theorem", "family", "status", "tightness", "vacuous")
_SMALLEST = 1e-6  # left end of the axis


def tightness_of_theorems(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Measured over bound of every theorem, a dot each on a logarithmic axis that ends at 1, where a bound is exact.

    Filled: the bound says something; open: it is vacuous; theorems that do not apply, or whose bound nothing was
    compared with, are named in grey. Each row has ``theorem``, ``family``, ``status``, ``tightness`` (or None) and
    ``vacuous``. Raises ``ValueError`` without rows or for missing keys.
    """
    _check("tightness_of_theorems", rows, _KEYS)
    families = list(dict.fromkeys(row["family"] for row in rows))
    styles = dict(zip(families, line_styles(), strict=False))
    with paper_style():
        figure = Figure(figsize=(1.4 * COLUMN, 0.75 + 0.145 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for line, row in enumerate(rows):
            style, ratio = styles[row["family"]], row["tightness"]
            if ratio is None:
                text = row["status"] if row["status"].startswith("not ") else "nothing to compare"
                axes.text(_SMALLEST * 1.5, line, text, color=GREY, va="center", fontsize=7)
                continue
            marker = "X" if row["status"] == "violated" else style["marker"]
            face = "none" if row["vacuous"] else style["color"]
            axes.plot(max(ratio, _SMALLEST), line, marker, color=style["color"], mfc=face, ms=4.5, zorder=3)
        axes.axvline(1.0, color=GREY, linewidth=0.8)
        axes.set(xscale="log", xlim=(_SMALLEST, 2), xlabel="tightness (1: the bound is exact)")
        axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=range(len(rows)))
        axes.set_yticklabels([row["theorem"] for row in rows])
        axes.tick_params(axis="y", length=0)
        handles = [_dot(styles[family]["color"], styles[family]["marker"], family) for family in families]
        handles += [_dot(GREY, "o", "says something"), _dot(GREY, "o", "vacuous", hollow=True)]
        figure.legend(handles=handles, loc="outside upper center", ncols=3)
    return figure


def bounds_per_layer(rows: Sequence[Mapping[str, Any]], *, ylabel: str = "bound, measured") -> Figure:
    """One panel per theorem with values at every layer: the bound (line) above what was measured (dashes).

    Each row has ``theorem``, ``family``, ``statement``, ``bounds`` and ``measurements`` (per layer; without
    them, or with bounds that are all 0, it is left out). A ``quantity`` in dB has a linear axis. Raises ``ValueError``
    if no row has them.
    """
    shown = [row for row in rows if has_layers(row)]
    _check("bounds_per_layer", shown, ("theorem", "family", "statement", "bounds", "measurements"))
    for row in shown:
        if len(row["bounds"]) != len(row["measurements"]):
            counts = f"{len(row['bounds'])} bounds and {len(row['measurements'])} measurements"
            raise ValueError(f"bounds_per_layer: expected as many of both, {row['theorem']} has {counts}")
    columns = min(3, len(shown))
    lines = -(-len(shown) // columns)
    with paper_style():
        figure = Figure(figsize=(TEXT * columns / 3, 2.1 * lines + 0.3), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False)
        first, second = (style for style, _ in zip(line_styles(), range(2), strict=False))
        for axes, row in zip(grid.flat, shown, strict=False):
            bounds, measured = np.asarray(row["bounds"]), np.asarray(row["measurements"])
            layers = np.arange(len(bounds)) + (row["family"] != "convergence")  # whose errors begin with x_0
            axes.plot(layers, bounds, label="bound", **first)
            axes.plot(layers, measured, label="measured", **second)
            axes.set(xlabel="layer")
            if not _in_decibels(row):
                lowest = _SMALLEST * min(bounds[bounds > 0].min(), measured.max() or 1.0)
                axes.set(yscale="log")
                if measured.min() < lowest:  # an exact zero, but for rounding: below the axis
                    axes.set_ylim(bottom=lowest)
            axes.set_title("\n".join([row["theorem"], *wrap(row["statement"], 32)]), fontsize=7)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        for axes in list(grid.flat)[len(shown) :]:
            axes.set_axis_off()
        for line in grid:
            line[0].set_ylabel(ylabel)
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def has_layers(row: Mapping[str, Any]) -> bool:
    """Whether ``bounds_per_layer`` shows a row."""
    return row.get("measurements") is not None and (_in_decibels(row) or max(row.get("bounds") or (0,)) > 0)


def _in_decibels(row: Mapping[str, Any]) -> bool:
    return "dB" in row.get("quantity", "") and row.get("bounds") is not None


def _check(name: str, rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> None:
    if not rows:
        raise ValueError(f"{name}: expected at least one row with {', '.join(keys)}")
    for row in rows:
        if missing := [key for key in keys if key not in row]:
            raise ValueError(f"{name}: a row lacks {', '.join(missing)}: {dict(row)}")


def _dot(colour: str, marker: str, label: str, *, hollow: bool = False) -> Line2D:
    face = "none" if hollow else colour
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=face, linestyle="none", label=label)
