"""One recovered signal beside the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from unrollbit.plots.style import GREY, TEXT, line_styles, paper_style


def recovered_signal(
    truth: ArrayLike, estimates: Mapping[str, ArrayLike], sampling_rate: float | None = None
) -> Figure:
    """One row per estimate: the estimate over the true signal, with its NMSE.

    ``truth`` has n entries, as has every estimate. With ``sampling_rate`` (Hz) the horizontal axis is time in
    seconds, else the sample index. Raises ``ValueError`` without estimates and for unequal shapes.
    """
    x = np.asarray(truth, np.float64)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"recovered_signal: expected a truth of n entries, got shape {x.shape}")
    if not estimates:
        raise ValueError("recovered_signal: expected at least one estimate")
    if sampling_rate is not None and not sampling_rate > 0:
        raise ValueError(f"recovered_signal: sampling_rate must be positive, got {sampling_rate}")
    place = np.arange(x.size) / (sampling_rate or 1)
    with paper_style():
        figure = Figure(figsize=(TEXT, 0.5 + 0.95 * len(estimates)), layout="constrained")
        rows = figure.subplots(len(estimates), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        colour = next(line_styles())["color"]
        for axes, (name, estimate) in zip(rows, estimates.items(), strict=True):
            values = np.asarray(estimate, np.float64)
            if values.shape != x.shape:
                raise ValueError(f"recovered_signal: expected {x.size} entries for {name!r}, got shape {values.shape}")
            axes.plot(place, x, color="#B0B0B0", linewidth=2.2, label="truth")
            axes.plot(place, values, color=colour, linewidth=0.9, label="estimate")
            axes.set_title(f"{name}{_nmse(values, x)}", loc="left", pad=3)
            axes.margins(x=0.01)
        rows[-1].set_xlabel("sample" if sampling_rate is None else "time (s)")
        figure.supylabel("amplitude", fontsize=8)
        lines = rows[0].get_lines()
        # right of the first row's title
        rows[0].legend(lines, ["truth", "estimate"], loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderpad=0)
        for axes in rows:
            axes.grid(axis="x", visible=False)
            axes.axhline(0, color=GREY, linewidth=0.4, zorder=0)
    return figure


def _nmse(estimate: np.ndarray, truth: np.ndarray) -> str:
    truth, estimate = truth.astype(np.float64), estimate.astype(np.float64)  # squares of float32 may not be one
    energy = float(truth @ truth)
    if not energy:
        return ""
    error = float((estimate - truth) @ (estimate - truth))
    level = f"{10 * np.log10(max(error / energy, 1e-14)):.1f}".replace("-", "\N{MINUS SIGN}")
    return f"  ({level} dB)"
