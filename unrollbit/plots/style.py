"""One look for all figures: small, quiet, readable in print and without colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLUMN, TEXT = 3.5, 7.16  # inches: the width of one column and of the whole text of a two-column paper
GREY = "#666666"

# Okabe and Ito's palette without its yellow, told apart by colour-blind readers; dashes and markers repeat the message
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")

_PARAMETERS: Any = {  # matplotlib's type for the keys exists only in its newest versions
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "figure.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,  # text stays text
}


def paper_style() -> AbstractContextManager[None]:
    """Within this context, figures are made with the library's font sizes, lines and colours."""
    return matplotlib.rc_context(_PARAMETERS)


def line_styles(*, markers: bool = True) -> Iterator[dict[str, Any]]:
    """Endless styles for successive curves that differ in colour, dashes and marker."""
    for colour, dashes, marker in cycle(zip(_COLOURS, _DASHES, _MARKERS, strict=True)):
        yield {"color": colour, "linestyle": dashes} | ({"marker": marker} if markers else {})


def legend_above(figure: Figure, axes: Axes, columns: int = 3) -> None:
    """The legend of ``axes`` above the whole figure, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(columns, len(labels)))


def save(figure: Figure, path_without_suffix: str | Path) -> tuple[Path, Path]:
    """Write ``<path>.pdf`` and ``<path>.png`` (200 dpi); folders are made. Returns both paths."""
    path = Path(path_without_suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    pdf, png = path.with_name(path.name + ".pdf"), path.with_name(path.name + ".png")
    with paper_style():
        figure.savefig(pdf, metadata={"CreationDate": None})  # the same figure gives the same file
        figure.savefig(png, dpi=200)
    return pdf, png
