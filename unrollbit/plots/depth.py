"""Accuracy and storage against depth."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from unrollbit.plots.style import TEXT, legend_above, line_styles, paper_style

_KEYS = ("depth", "training", "test", "bits")


def curves_of_depth(curves: Mapping[str, Mapping[str, ArrayLike]], *, ylabel: str = "NMSE, mean of dB") -> Figure:
    """Left: NMSE on test signals (filled) and training signals (open markers); right: stored bits per link.

    ``curves`` maps a network's name to vectors ``depth``, ``training``, ``test`` (dB) and ``bits`` (per link). Raises
    ``ValueError`` without curves and for missing vectors.
    """
    if not curves:
        raise ValueError("curves_of_depth: expected at least one curve")
    with paper_style():
        figure = Figure(figsize=(TEXT, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        depths: set[float] = set()
        for (name, curve), style in zip(curves.items(), line_styles(), strict=False):
            if missing := [key for key in _KEYS if key not in curve]:
                raise ValueError(f"curves_of_depth: {name!r} lacks {', '.join(missing)}")
            left.plot(curve["depth"], curve["test"], label=name, **style)
            hollow = {**style, "linestyle": "none", "markerfacecolor": "none", "markersize": 6}
            left.plot(curve["depth"], curve["training"], **hollow)
            right.plot(curve["depth"], curve["bits"], **style)
            depths |= {float(depth) for depth in curve["depth"]}  # pyright: ignore[reportGeneralTypeIssues, reportIndexIssue, reportOptionalIterable]
        for axes in (left, right):
            axes.set(xscale="log", xlabel="layers", xticks=sorted(depths))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        left.set_ylabel(ylabel)
        right.set(yscale="log", ylabel="stored bits per link")
        right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        legend_above(figure, left, columns=4)
    return figure
