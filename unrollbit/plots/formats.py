"""Which format at which rate: quality against stored bits, problem by problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from unrollbit.plots.rates import REFERENCES
from unrollbit.plots.style import GREY, TEXT, legend_above, line_styles, paper_style

_KEYS = ("problem", "format", "bits", "mean", "low", "high")
_ENVELOPE = {"color": "#CFCFCF", "linewidth": 3.5, "solid_capstyle": "butt", "drawstyle": "steps-post", "zorder": 1.5}


def quality_at_bits(
    points: Sequence[Mapping[str, Any]],
    levels: Mapping[str, Mapping[str, float]] | None = None,
    *,
    ylabel: str = "NMSE, mean of dB",
    xlabel: str = "stored bits per link",
) -> Figure:
    """One panel per problem: a marker for every network (not joined: ties and planes both add bits), bars over seeds.

    The grey step line is the best that any format reaches with at most so many bits; vertical lines mark 1.0 bit (a
    sign) and 1.58 (a ternary weight).

    Each point has ``problem``, ``format``, ``bits`` (stored bits per link, > 0), ``mean``, ``low`` and ``high`` (dB).
    ``levels``: by problem, names and values of horizontal lines (networks that store no weights, full precision).
    Raises ``ValueError`` without points, for missing keys and for rates that are not positive.
    """
    if not points:
        raise ValueError("quality_at_bits: expected at least one point")
    for point in points:
        if missing := [key for key in _KEYS if key not in point]:
            raise ValueError(f"quality_at_bits: a point lacks {', '.join(missing)}: {dict(point)}")
        if not point["bits"] > 0:
            raise ValueError(f"quality_at_bits: a logarithmic axis needs bits > 0: {dict(point)}")
    problems = list(dict.fromkeys(str(point["problem"]) for point in points))
    styles = dict(zip(dict.fromkeys(str(point["format"]) for point in points), line_styles(), strict=False))
    rates = np.array([float(point["bits"]) for point in points] + list(REFERENCES))
    limits = (rates.min() / 1.5, rates.max() * 1.5)
    with paper_style():
        figure = Figure(figsize=(TEXT, 3.1), layout="constrained")
        panels = figure.subplots(1, len(problems), squeeze=False)[0]
        for axes, problem in zip(panels, problems, strict=True):
            own = [point for point in points if str(point["problem"]) == problem]
            _envelope(axes, own, limits[1])
            for name, style in styles.items():
                _markers(axes, [point for point in own if str(point["format"]) == name], name, style)
            _lines(axes, (levels or {}).get(problem, {}))
            for rate, label in REFERENCES.items():
                axes.axvline(rate, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
                place = {"xy": (rate, 1), "xycoords": ("data", "axes fraction"), "ha": "right" if rate == 1 else "left"}
                axes.annotate(label, **place, xytext=(0, 2), textcoords="offset points", color=GREY)
            axes.margins(y=0.12)
            axes.set(xscale="log", xlim=limits, xlabel=xlabel)
            axes.set_title(problem, pad=13)
            axes.xaxis.set_major_locator(LogLocator(numticks=8))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        panels[0].set_ylabel(ylabel)
        legend_above(figure, panels[0], columns=4)
    return figure


def _lines(axes: Axes, levels: Mapping[str, float]) -> None:
    """Horizontal lines; the name of the lowest stands below it, so that two that lie close can be read."""
    lowest = min(levels, key=lambda name: levels[name], default=None)
    for name, level in levels.items():
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
        below = len(levels) > 1 and name == lowest
        place = {"xy": (0.02, level), "xycoords": ("axes fraction", "data"), "va": "top" if below else "bottom"}
        offset = (0, -2 if below else 2)
        axes.annotate(name, **place, xytext=offset, textcoords="offset points", color=GREY, fontsize=7)


def _markers(axes: Axes, points: Sequence[Mapping[str, Any]], name: str, style: Mapping[str, Any]) -> None:
    table = sorted((float(p["bits"]), float(p["mean"]), float(p["low"]), float(p["high"])) for p in points)
    bits, mean, low, high = np.array(table).reshape(-1, 4).T  # a format without points still shows in the legend
    marker = {**style, "linestyle": "none", "markersize": 4.5}
    axes.errorbar(bits, mean, (mean - low, high - mean), label=name, elinewidth=0.7, capsize=1.5, **marker)


def _envelope(axes: Axes, points: Sequence[Mapping[str, Any]], right: float) -> None:
    """The best mean at no more bits, as a step line that ends at the right."""
    best, steps = np.inf, []
    for bits, mean in sorted((float(p["bits"]), float(p["mean"])) for p in points):
        if mean < best:
            best = mean
            steps.append((bits, mean))
    steps.append((right, best))
    axes.plot(*np.array(steps).T, label="best so far", **_ENVELOPE)
