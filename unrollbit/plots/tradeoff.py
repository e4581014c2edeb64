"""Accuracy against everything that costs bits: many networks, stored and resident bits side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from unrollbit.plots.style import GREY, TEXT, line_styles, paper_style

_KEYS = ("label", "group", "nmse_db", "stored", "resident")
_REFERENCES = {1.0: "1 bit", 1.58: "1.58"}
_PLACES = ((4, 0), (-4, 0), (0, 5), (0, -6), (4, 6), (-4, 6), (4, -7), (-4, -7), (10, 0), (-10, 0), (0, 11), (0, -12))


def accuracy_against_total_bits(
    points: Sequence[Mapping[str, Any]], references: Mapping[str, float] | None = None, *, ylabel: str = "NMSE (dB)"
) -> Figure:
    """NMSE against stored bits per link (left) and resident bits per entry of A (right), logarithmic axes.

    Each point has ``label``, ``group`` (a colour and marker), ``nmse_db``, ``stored`` and ``resident`` (> 0). Points
    are numbered, with their names in a list at the right: labels of twenty networks would hide the data.
    ``references`` maps a label to a level in dB, drawn as a line. Raises
    ``ValueError`` without points, for missing keys and for bits that are not positive.
    """
    if not points:
        raise ValueError("accuracy_against_total_bits: expected at least one point")
    for point in points:
        if missing := [key for key in _KEYS if key not in point]:
            raise ValueError(f"accuracy_against_total_bits: a point lacks {', '.join(missing)}: {dict(point)}")
        if not (point["stored"] > 0 and point["resident"] > 0):
            raise ValueError(f"accuracy_against_total_bits: expected bits > 0 on logarithmic axes: {dict(point)}")
    groups = list(dict.fromkeys(str(point["group"]) for point in points))
    styles = dict(zip(groups, line_styles(), strict=False))
    with paper_style():
        figure = Figure(figsize=(TEXT, max(2.9, 0.4 + 0.14 * (len(points) + len(groups)))), layout="constrained")
        left, right, names = figure.subplots(1, 3, width_ratios=(1, 1, 0.62))
        right.sharey(left)
        figure.draw_without_rendering()
        for axes, key, xlabel in (
            (left, "stored", "stored bits per link"),
            (right, "resident", "resident bits per entry of A"),
        ):
            _panel(axes, points, key, styles)
            axes.set(xlabel=xlabel)
            for level in (references or {}).values():
                axes.axhline(level, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
        for label, level in (references or {}).items():
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "color": GREY}
            right.annotate(label, (0, level), xytext=(3, 2), ha="left", fontsize=7, **place)
        for rate, label in _REFERENCES.items():
            left.axvline(rate, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
            aligned = "right" if rate == 1 else "left"
            options = {"xytext": (0, 2), "textcoords": "offset points", "ha": aligned, "color": GREY}
            left.annotate(label, (rate, 1), xycoords=("data", "axes fraction"), **options)
        left.set_ylabel(ylabel)
        right.tick_params(labelleft=False)
        _list(names, points, groups, styles)
        figure.draw_without_rendering()
        for axes, key in ((left, "stored"), (right, "resident")):
            _number(axes, points, key)
    return figure


def _panel(axes: Axes, points: Sequence[Mapping[str, Any]], key: str, styles: Mapping[str, dict[str, Any]]) -> None:
    for group, style in styles.items():
        chosen = np.array([(p[key], p["nmse_db"]) for p in points if str(p["group"]) == group], float)
        axes.plot(chosen[:, 0], chosen[:, 1], linestyle="none", marker=style["marker"], color=style["color"])
    values = [float(point[key]) for point in points] + ([1.0] if key == "stored" else [])
    axes.set(xscale="log", xlim=(min(values) / 2, max(values) * 2))
    axes.margins(y=0.08)
    axes.xaxis.set_major_locator(LogLocator(numticks=8))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _number(axes: Axes, points: Sequence[Mapping[str, Any]], key: str) -> None:
    """A number beside every point, at the first of a few places that is free of numbers and markers."""
    scale = axes.figure.dpi / 72.0  # pixels per point
    centres = np.array([axes.transData.transform((float(p[key]), float(p["nmse_db"]))) for p in points])
    taken = [Bbox.from_extents(*(c - 2 * scale), *(c + 2 * scale)) for c in centres]
    for number, centre in enumerate(centres, start=1):
        width, height = (3.2 * len(str(number)) + 1) * scale, 5.5 * scale
        boxes = []
        for dx, dy in _PLACES:
            x = centre[0] + dx * scale - (width if dx < 0 else width / 2 if dx == 0 else 0)
            y = centre[1] + dy * scale - height / 2
            boxes.append(Bbox.from_bounds(x, y, width, height))
        overlaps = [sum(box.count_overlaps([other]) for other in taken) for box in boxes]
        place = int(np.argmin(overlaps))
        taken.append(boxes[place])
        dx, dy = _PLACES[place]
        aligned = "right" if dx < 0 else "center" if dx == 0 else "left"
        at = axes.transData.inverted().transform(centre)
        options = {"ha": aligned, "va": "center", "fontsize": 6, "annotation_clip": False}
        axes.annotate(str(number), (float(at[0]), float(at[1])), xytext=(dx, dy), textcoords="offset points", **options)


def _list(axes: Axes, points: Sequence[Mapping[str, Any]], groups: Sequence[str], styles: Mapping[str, Any]) -> None:
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(-0.5, len(points) + len(groups) - 0.5))
    line = len(points) + len(groups) - 1
    for group in groups:
        style = styles[group]
        axes.plot([0.03], [line], marker=style["marker"], color=style["color"], linestyle="none")
        axes.text(0.1, line, group, va="center", fontsize=7, weight="bold")
        line -= 1
        for number, point in enumerate(points, start=1):
            if str(point["group"]) == group:
                axes.text(0.08, line, str(number), va="center", ha="right", fontsize=7)
                axes.text(0.1, line, str(point["label"]), va="center", fontsize=7)
                line -= 1
