"""Accuracy of networks on problems that they were not trained for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from unrollbit.plots.style import COLUMN, GREY, line_styles, paper_style

_GROUP, _LINE, _MARGIN = 0.62, 0.105, 0.75  # share of a group's height that dots use; inches a dot, of axis and legend


def accuracy_under_changes(
    levels: Mapping[str, Mapping[str, float]],
    notes: Mapping[str, Mapping[str, str]] | None = None,
    *,
    xlabel: str = "NMSE (dB)",
) -> Figure:
    """A group of dots for each network, one dot for each condition, with NMSE in dB on the horizontal axis.

    ``levels`` maps networks to conditions to dB; the first condition is the reference, from which a line leads to each
    other dot. Levels that are missing or not finite have no dot. ``notes`` (by network and condition) stand beside
    their dots. Raises ``ValueError`` without networks or conditions.
    """
    conditions = list(dict.fromkeys(condition for found in levels.values() for condition in found))
    if not conditions:
        raise ValueError("accuracy_under_changes: expected at least one network with at least one condition")
    styles = dict(zip(conditions, line_styles(), strict=False))
    step = _GROUP / len(conditions)
    with paper_style():
        size = (1.5 * COLUMN, _MARGIN + _LINE * len(levels) * (len(conditions) + 1))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        for place, condition in enumerate(conditions):
            style, offset = styles[condition], (place - (len(conditions) - 1) / 2) * step
            heights = [line + offset for line in range(len(levels))]
            points = [_finite(found.get(condition)) for found in levels.values()]
            for height, point, found in zip(heights, points, levels.values(), strict=True):
                ends = [_finite(found.get(conditions[0])), point]
                axes.plot(ends, [height, height], color=style["color"], linewidth=0.6, alpha=0.5)
            dots = {"marker": style["marker"], "color": style["color"], "linestyle": "none"}
            axes.plot(points, heights, label=condition, **dots)
            for network, height, point in zip(levels, heights, points, strict=True):
                note = (notes or {}).get(network, {}).get(condition)
                if note and math.isfinite(point):
                    options = {"xytext": (5, 0), "textcoords": "offset points", "va": "center", "fontsize": 6}
                    axes.annotate(note, (point, height), color=GREY, **options)
        for line in range(1, len(levels)):
            axes.axhline(line - 0.5, color="#BBBBBB", linewidth=0.5, zorder=0)
        axes.set(xlabel=xlabel, ylim=(len(levels) - 0.5, -0.5), yticks=range(len(levels)))
        axes.set_yticklabels(list(levels))
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False, axis="y")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)), handlelength=1.2)
    return figure


def _finite(level: float | None) -> float:
    return math.nan if level is None or not math.isfinite(level) else float(level)
