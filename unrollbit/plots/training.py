"""The course of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unrollbit.plots.style import COLUMN, GREY, line_styles, paper_style


def training_curves(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Loss and validation NMSE against the step, with the stages of training marked.

    ``records`` are the lines of a run's ``metrics.jsonl``: each has ``step`` and any of ``loss``, ``nmse_db`` and
    ``stage`` (a name or a number); what a record lacks is skipped. Raises ``ValueError`` if no record has a step and
    a loss or NMSE.
    """
    records = [record for record in records if "step" in record]
    loss, nmse = (_curve(records, key) for key in ("loss", "nmse_db"))
    panels = [(curve, label) for curve, label in ((loss, "loss"), (nmse, "NMSE (dB)")) if curve[0].size]
    if not panels:
        raise ValueError("training_curves: no record has a 'step' and a 'loss' or 'nmse_db'")
    with paper_style():
        figure = Figure(figsize=(COLUMN, 0.6 + 1.35 * len(panels)), layout="constrained")
        rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, ((steps, values), label), style in zip(rows, panels, line_styles(markers=False), strict=False):
            axes.plot(steps, values, color=style["color"])
            axes.set_ylabel(label)
            if label == "loss" and (values > 0).all() and values.max() > 20 * values.min():
                axes.set_yscale("log")
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
    """A line where each stage begins, and its name above the first panel."""
    starts: list[tuple[float, str]] = []
    for record in records:
        name = record.get("stage")
        if name is not None and (not starts or starts[-1][1] != str(name)):
            starts.append((float(record["step"]), str(name)))
    if len(starts) < 2:
        return
    last = max(float(record["step"]) for record in records)
    for axes in rows:
        for step, _ in starts[1:]:
            axes.axvline(step, color=GREY, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
    names = [f"stage {name}" if name.isdigit() and len(starts) <= 4 else name for _, name in starts]
    slanted = sum(len(name) + 2 for name in names) > 45  # they would run into each other
    for name, ((start, _), (end, _)) in zip(names, pairwise([*starts, (last, "")]), strict=True):
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
