"""Accuracy along the layers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from unrollbit.plots.style import COLUMN, GREY, legend_above, line_styles, paper_style


def nmse_per_layer(
    curves: Mapping[str, ArrayLike], references: Mapping[str, float] | None = None, *, ylabel: str = "NMSE (dB)"
) -> Figure:
    """NMSE in dB of every method after layers (or iterations) 1..K.

    ``curves`` maps a method's name to its K values; lengths may differ. ``references`` maps a label to a level in dB,
    drawn as a labelled horizontal line. ``ylabel`` says which NMSE it is. Raises ``ValueError`` without curves and
    for curves that are not vectors.
    """
    if not curves:
        raise ValueError("nmse_per_layer: expected at least one curve")
    with paper_style():
        figure = Figure(figsize=(COLUMN, 2.5), layout="constrained")
        axes = figure.subplots()
        longest = 1
        for (name, curve), style in zip(curves.items(), line_styles(), strict=False):
            values = np.asarray(curve, np.float64)
            if values.ndim != 1 or not values.size:
                raise ValueError(f"nmse_per_layer: expected K values for {name!r}, got shape {values.shape}")
            longest = max(longest, values.size)
            every = max(1, -(-values.size // 16))  # a marker on every layer of a deep network is a smear
            axes.plot(np.arange(1, values.size + 1), values, label=name, markevery=every, **style)
        _mark_levels(axes, references or {})
        axes.set(xlabel="layer", ylabel=ylabel, xlim=(0.5, longest + 0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        legend_above(figure, axes, columns=2)
    return figure


def _mark_levels(axes: Axes, references: Mapping[str, float]) -> None:
    """Dotted lines, labelled right of the axes; labels of close levels are moved apart."""
    for level in references.values():
        axes.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
    bottom, top = axes.get_ylim()
    lowest = -math.inf
    for label, level in sorted(references.items(), key=lambda reference: reference[1]):
        place = max((level - bottom) / (top - bottom), lowest)
        lowest = place + 0.085  # of the height of the axes: a line of text
        axes.annotate(
            label,
            (1, place),
            xycoords="axes fraction",
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            color=GREY,
        )
    axes.set_ylim(bottom, top)
