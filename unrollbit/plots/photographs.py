"""How good pictures are, against the bytes of what recovers them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unrollbit.plots.style import GREY, TEXT, legend_above, line_styles, paper_style

_ABREAST, _LINE = 3, 0.06  # panels; the height of a label in a panel


def _apart(axes: Any, what: Sequence[Any], levels: Sequence[float]) -> list[tuple[Any, float]]:
    """Things with the heights of their labels: those of their levels, but a line apart from the next one below."""
    low, high = axes.get_ylim()
    placed: list[tuple[Any, float]] = []
    for level, k in sorted(zip(levels, range(len(levels)), strict=True)):
        least = placed[-1][1] + _LINE * (high - low) if placed else level
        placed.append((what[k], max(level, least)))
    return placed


def psnr_against_bytes(
    points: Sequence[Mapping[str, Any]], levels: Mapping[str, Mapping[str, float]] | None = None
) -> Figure:
    """PSNR against the size of a network's file on a logarithmic axis; one panel per test set.

    Each point has ``test``, ``group`` (a colour and marker), ``method``, ``bytes`` (> 0) and ``psnr_db``. ``levels``
    maps a test to methods without a file and their PSNR, drawn as lines. Raises ``ValueError`` without points, for
    missing keys and for bytes that are not positive.
    """
    if not points:
        raise ValueError("psnr_against_bytes: expected at least one point")
    for point in points:
        if missing := [key for key in ("test", "group", "method", "bytes", "psnr_db") if key not in point]:
            raise ValueError(f"psnr_against_bytes: a point lacks {', '.join(missing)}: {dict(point)}")
        if not point["bytes"] > 0:
            raise ValueError(f"psnr_against_bytes: a logarithmic axis needs bytes > 0: {dict(point)}")
    tests = list(dict.fromkeys(str(point["test"]) for point in points))
    styles = dict(zip(dict.fromkeys(str(point["group"]) for point in points), line_styles(), strict=False))
    sizes = [float(point["bytes"]) for point in points]
    with paper_style():
        rows = -(-len(tests) // _ABREAST)
        figure = Figure(figsize=(TEXT, 2.4 * rows + 0.2), layout="constrained")
        panels = figure.subplots(rows, min(len(tests), _ABREAST), sharex=True, squeeze=False)
        for axes in panels.ravel()[len(tests) :]:
            axes.remove()
        for axes, test in zip(panels.ravel(), tests, strict=False):
            for group, style in styles.items():
                own = [point for point in points if (str(point["test"]), str(point["group"])) == (test, group)]
                places = np.array([(point["bytes"], point["psnr_db"]) for point in own]).reshape(-1, 2)
                axes.plot(places[:, 0], places[:, 1], label=group, **{**style, "linestyle": "none"})
            lines = (levels or {}).get(test, {})
            for level in lines.values():
                axes.axhline(level, color=GREY, linewidth=0.8, linestyle="--", zorder=1)
            axes.margins(y=0.25)
            named = [point for point in points if str(point["test"]) == test]
            for point, level in _apart(axes, named, [float(point["psnr_db"]) for point in named]):
                place = {"xytext": (4, 2), "textcoords": "offset points", "fontsize": 6}
                axes.annotate(str(point["method"]), (point["bytes"], level), **place)
            for name, level in _apart(axes, list(lines), list(lines.values())):
                place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "color": GREY}
                axes.annotate(name, (1, level), xytext=(0, 2), ha="right", fontsize=6, **place)
            axes.set(xscale="log", xlim=(min(sizes) / 3, max(sizes) * 12), xlabel="bytes", title=test)
            axes.tick_params(labelbottom=True)
        for axes in panels[:, 0]:
            axes.set_ylabel("PSNR (dB)")
        legend_above(figure, figure.axes[0])
    return figure
