"""Accuracy against storage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from unrollbit.plots.style import COLUMN, GREY, TEXT, legend_above, line_styles, paper_style

REFERENCES = {1.0: "1.0", 1.58: "1.58"}  # bits per link of a sign, of a ternary weight


def accuracy_against_bits(
    points: Sequence[Mapping[str, Any]], *, xlabel: str = "stored bits per link", ylabel: str = "NMSE (dB)"
) -> Figure:
    """NMSE against bits per link on a logarithmic axis; one curve per method, one panel per problem.

    Each point has ``method``, ``bits_per_link`` (> 0), ``nmse_db`` and, optionally, ``problem``. Vertical lines mark
    1.0 bit (a sign) and 1.58 bits (a ternary weight). ``xlabel`` names the rate that ``bits_per_link`` holds. Raises
    ``ValueError`` without points, for missing keys and for rates that are not positive.
    """
    if not points:
        raise ValueError("accuracy_against_bits: expected at least one point")
    for point in points:
        if missing := [key for key in ("method", "bits_per_link", "nmse_db") if key not in point]:
            raise ValueError(f"accuracy_against_bits: a point lacks {', '.join(missing)}: {dict(point)}")
        if not point["bits_per_link"] > 0:
            raise ValueError(f"accuracy_against_bits: a logarithmic axis needs bits_per_link > 0: {dict(point)}")
    problems = list(dict.fromkeys(point.get("problem") for point in points))
    styles = dict(zip(dict.fromkeys(str(point["method"]) for point in points), line_styles(), strict=False))
    rates = np.array([float(point["bits_per_link"]) for point in points] + list(REFERENCES))
    limits = (rates.min() / 1.6, rates.max() * 1.6)
    with paper_style():
        size = (COLUMN if len(problems) == 1 else TEXT, 2.7)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(problems), sharex=True, sharey=True, squeeze=False)[0]
        for axes, problem in zip(panels, problems, strict=True):
            for method, style in styles.items():
                chosen = [p for p in points if str(p["method"]) == method and p.get("problem") == problem]
                table = np.array(sorted((float(p["bits_per_link"]), float(p["nmse_db"])) for p in chosen))
                table = table.reshape(-1, 2)  # a method without points here still shows in the legend
                axes.plot(table[:, 0], table[:, 1], label=method, **style)
            for rate, label in REFERENCES.items():
                axes.axvline(rate, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
                axes.annotate(
                    label,
                    (rate, 1),
                    xycoords=("data", "axes fraction"),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="right" if rate == 1 else "left",
                    color=GREY,
                )
            axes.set(xscale="log", xlim=limits, xlabel=xlabel)
            axes.xaxis.set_major_locator(LogLocator(numticks=8))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            if problem is not None:
                axes.set_title(str(problem), pad=14)
        panels[0].set_ylabel(ylabel)
        legend_above(figure, panels[0], columns=2 if len(problems) == 1 else 4)
    return figure
