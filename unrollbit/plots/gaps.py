"""Generalization against the number of training signals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import ArrayLike

from unrollbit.plots.style import GREY, TEXT, legend_above, line_styles, paper_style

_KEYS = ("size", "training", "test")


def generalization_gaps(curves: Mapping[str, Mapping[str, ArrayLike]], *, ylabel: str = "NMSE (dB)") -> Figure:
    """Left: NMSE on test signals (filled) and training signals (open markers); right: the gap between them.

    ``curves`` maps a network's name to vectors ``size`` (training signals, > 0), ``training`` and ``test`` (dB). Raises
    ``ValueError`` without curves and for missing vectors.
    """
    if not curves:
        raise ValueError("generalization_gaps: expected at least one curve")
    sizes: set[float] = set()
    with paper_style():
        figure = Figure(figsize=(TEXT, 2.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for (name, curve), style in zip(curves.items(), line_styles(), strict=False):
            if missing := [key for key in _KEYS if key not in curve]:
                raise ValueError(f"generalization_gaps: {name!r} lacks {', '.join(missing)}")
            size, training, test = (np.asarray(curve[key], np.float64) for key in _KEYS)
            left.plot(size, test, label=name, **style)
            left.plot(size, training, **{**style, "linestyle": "none", "markerfacecolor": "none", "markersize": 6})
            right.plot(size, test - training, **style)
            sizes |= set(size.tolist())
        right.axhline(0, color=GREY, linewidth=0.6, zorder=1)
        for axes in (left, right):
            axes.set(xscale="log", xlabel="training signals", xticks=sorted(sizes))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        left.set_ylabel(ylabel)
        right.set_ylabel("gap: test - training (dB)")
        legend_above(figure, left, columns=3)
    return figure
