"""Changes against a reference: a dot at the mean, a mark for every seed, headings, named errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from unrollbit.plots import differences, save

ROWS: list[dict[str, Any]] = [
    {"ingredient": "", "network": "reference", "change": 0.0, "changes": [0.0, 0.0, 0.0]},
    {"ingredient": "bits", "network": "tied", "change": 5.0, "changes": [4.0, 5.0, 6.0]},
    {"ingredient": "scale", "network": "per row", "change": -1.5, "changes": [-1.5]},
    {"ingredient": "bits", "network": "two planes", "change": -8.0, "changes": [-9.0, -7.0]},
]


def lines_of(axes: Axes, marker: str) -> dict[str, list[float]]:
    """By the label of the row: the places of its marks."""
    labels = [label.get_text() for label in axes.get_yticklabels()]
    found: dict[str, list[float]] = {}
    for line in axes.get_lines():
        if line.get_marker() == marker:
            heights = set(np.asarray(line.get_ydata()).tolist())
            assert len(heights) == 1
            found[labels[int(heights.pop())]] = np.asarray(line.get_xdata()).tolist()
    return found


def test_means_and_seeds_are_drawn_on_the_line_of_their_row() -> None:
    (axes,) = differences(ROWS, xlabel="change (dB)").axes
    assert lines_of(axes, "o") == {row["network"]: [row["change"]] for row in ROWS}
    assert lines_of(axes, "|") == {row["network"]: row["changes"] for row in ROWS}


def test_rows_are_grouped_under_bold_headings_from_top_to_bottom() -> None:
    (axes,) = differences(ROWS, xlabel="change (dB)").axes
    labels = axes.get_yticklabels()
    assert [label.get_text() for label in labels] == ["reference", "bits", "tied", "two planes", "scale", "per row"]
    assert [label.get_text() for label in labels if label.get_fontweight() == "bold"] == ["bits", "scale"]
    assert np.asarray(axes.get_yticks()).tolist() == [0, 1, 2, 3, 4, 5]
    bottom, top = axes.get_ylim()
    assert bottom > 5 > 0 > top  # the first row is uppermost


def test_the_reference_is_a_line_at_zero_and_the_axis_is_named() -> None:
    (axes,) = differences(ROWS, xlabel="change (dB)").axes
    assert axes.get_xlabel() == "change (dB)"
    unmarked = [line for line in axes.get_lines() if line.get_marker() in ("None", "", None)]
    assert [np.asarray(line.get_xdata()).tolist() for line in unmarked] == [[0, 0]]
    low, high = axes.get_xlim()
    assert low < -9.0
    assert high > 6.0


def test_the_figure_grows_with_its_rows() -> None:
    few, many = (differences(ROWS[:1] * count, xlabel="").get_figheight() for count in (2, 30))
    assert many > few + 3


def test_it_is_written(tmp_path: Any) -> None:
    for path in save(differences(ROWS, xlabel="change (dB)"), tmp_path / "ablation"):
        assert path.stat().st_size > 4000


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "differences: expected at least one row"),
        ([{"network": "a", "change": 0.0}], r"differences: a row lacks ingredient, changes: \{'network': 'a'"),
        ([*ROWS, {"ingredient": "bits", "changes": []}], "differences: a row lacks network, change: "),
    ],
)
def test_misuse_is_named(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        differences(rows, xlabel="change (dB)")
