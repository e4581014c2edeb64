"""Errors of single signals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from unrollbit.plots.style import TEXT, legend_above, line_styles, paper_style

_KEYS = ("non-zeros", "before", "after")


def errors_of_signals(networks: Mapping[str, Mapping[str, ArrayLike]]) -> Figure:
    """NMSE of every signal (dB) against its number of non-zeros, one panel for each network.

    Every network has vectors of one length: ``non-zeros``, ``before`` and ``after`` (dB, without and with more layers).
    Raises ``ValueError`` without networks and for missing vectors.
    """
    if not networks:
        raise ValueError("errors_of_signals: expected at least one network")
    for name, cloud in networks.items():
        if missing := [key for key in _KEYS if key not in cloud]:
            raise ValueError(f"errors_of_signals: {name!r} lacks {', '.join(missing)}")
    with paper_style():
        figure = Figure(figsize=(TEXT * len(networks) / 3 + 0.3, 2.5), layout="constrained")
        panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
        for axes, (name, cloud) in zip(panels, networks.items(), strict=True):
            jitter = np.random.RandomState(0).uniform(-0.4, 0.4, np.size(cloud["non-zeros"]))
            place = np.asarray(cloud["non-zeros"]) + jitter
            for key, label, style in zip(
                ("before", "after"), ("as trained", "last layers repeated"), line_styles(), strict=False
            ):
                options = {"color": style["color"], "marker": style["marker"], "linestyle": "none"}
                axes.plot(place, cloud[key], label=label, markersize=1.4, alpha=0.5, markeredgewidth=0, **options)
            axes.set(title=name, xlabel="non-zeros of the signal")
            axes.set_rasterization_zorder(5)  # ten thousand dots are no vector graphic
        panels[0].set_ylabel("NMSE of the signal (dB)")
        legend_above(figure, panels[0], columns=2)
        for handle in figure.legends[0].legend_handles:
            if handle is not None:
                handle.set(markersize=4, alpha=1)
    return figure
