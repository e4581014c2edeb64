"""The course of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unrollbit.plots.style import COLUMN, GREY, line_styles, paper_style

_MARKERS: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 3.5, "markerfacecolor": "white"}


def training_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and NMSE against the step, with the stages of training marked where they start.

    ``records`` are the lines of a run's ``metrics.jsonl``: each has ``step``, the steps done by then, and any of
    ``loss`` and ``nmse_db``, means over the batches since the record before, ``validation_nmse_db``, of the network at
    that step on validation signals (drawn as markers), ``stage`` (a number or a name) and ``name`` (of the stage); what
    a record lacks is skipped. Raises ``ValueError`` if no record has a step and a loss or NMSE.
    """
    records = [record for record in records if "step" in record]
    loss, batches, validation = (_curve(records, key) for key in ("loss", "nmse_db", "validation_nmse_db"))
    nmse = [steps for steps, _ in (batches, validation) if steps.size]
    panels = ["loss"] * bool(loss[0].size) + ["NMSE (dB)"] * bool(nmse)
    if not panels:
        raise ValueError("training_curves: no record has a 'step' and a 'loss' or 'nmse_db'")
    with paper_style():
        figure = Figure(figsize=(COLUMN, 0.6 + 1.35 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, label, style in zip(rows, panels, line_styles(markers=False), strict=False):
            if label == "loss":
                axes.plot(*loss, color=style["color"])
                if (loss[1] > 0).all() and loss[1].max() > 20 * loss[1].min():
                    axes.set_yscale("log")
            else:
                axes.plot(*batches, color=style["color"], label="training batches")
                axes.plot(*validation, color=style["color"], label="validation signals", **_MARKERS)
                if len(nmse) > 1:  # under the figure: inside, curves are in the way
                    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
                elif batches[0].size:
                    label = "NMSE of batches (dB)"
            axes.set_ylabel(label)
            axes.margins(x=0.02)
            axes.grid(axis="x", visible=False)
        rows[-1].set_xlabel("training step")
        _mark_stages(list(rows), records)
        figure.align_ylabels()
    return figure


def _curve(records: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    points = [(record["step"], record[key]) for record in records if record.get(key) is not None]
    table = np.asarray(points, np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _mark_stages(rows: Sequence[Axes], records: Sequence[Mapping[str, Any]]) -> None:
    """A line where each stage begins, which is where the one before has ended, and its name above the first panel."""
    starts: list[tuple[float, str]] = []
    stage, done = None, 0.0
    for record in records:
        if record.get("stage", stage) != stage:
            stage = record["stage"]
            starts.append((done, str(record.get("name", stage))))
        done = float(record["step"])
    if len(starts) < 2:
        return
    for axes in rows:
        for step, _ in starts[1:]:
            axes.axvline(step, color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    names = [f"stage {name}" if name.isdigit() and len(starts) <= 4 else name for _, name in starts]
    slanted = sum(len(name) + 2 for name in names) > 45  # they would run into each other
    for name, ((start, _), (end, _)) in zip(names, pairwise([*starts, (done, "")]), strict=True):
        rows[0].annotate(
            name,
            ((start + end) / 2, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="left" if slanted else "center",
            rotation=35 if slanted else 0,
            rotation_mode="anchor",
            color=GREY,
        )
