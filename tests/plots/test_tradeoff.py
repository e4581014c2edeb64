"""Accuracy against stored and resident bits: points drawn as given, numbers that can be told apart, named errors."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from unrollbit.plots import accuracy_against_total_bits, save

POINTS: list[dict[str, Any]] = [
    {"label": "LISTA", "group": "32 bits", "nmse_db": -30.0, "stored": 32.0, "resident": 544.0},
    {"label": "W = A", "group": "32 bits", "nmse_db": -52.0, "stored": 0.002, "resident": 32.0},
    {"label": "untied", "group": "one bit", "nmse_db": -45.0, "stored": 1.01, "resident": 48.0},
    {"label": "tied", "group": "one bit", "nmse_db": -20.0, "stored": 0.06, "resident": 33.0},
]
ROW = {"label": "a", "group": "b", "nmse_db": -1.0, "stored": 1.0, "resident": 1.0}


def drawn(axes: Axes) -> set[tuple[str, float, float]]:
    """Colour and place of every marker."""
    dots = [line for line in axes.get_lines() if line.get_marker() not in ("None", "", None)]
    return {
        (str(line.get_color()), float(x), float(y))
        for line in dots
        for x, y in np.asarray(line.get_xydata(), float).tolist()
    }


def numbers(axes: Axes) -> list[Annotation]:
    return [text for text in axes.texts if isinstance(text, Annotation) and text.get_text().isdigit()]


def boxes(figure: Figure, axes: Axes) -> list[Bbox]:
    """Where the digits of every number stand, as drawn (Agg's own measure of the text)."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    return [number.get_tightbbox(renderer) or pytest.fail("a number is not drawn") for number in numbers(axes)]


def test_points_are_drawn_where_they_are_and_in_the_colour_of_their_group() -> None:
    left, right, _ = accuracy_against_total_bits(POINTS).axes
    for axes, key in ((left, "stored"), (right, "resident")):
        found = drawn(axes)
        assert {(x, y) for _, x, y in found} == {(point[key], point["nmse_db"]) for point in POINTS}
        colour = {y: colour for colour, _, y in found}
        assert colour[-30.0] == colour[-52.0] != colour[-45.0] == colour[-20.0]


def test_axes_are_logarithmic_shared_and_named() -> None:
    left, right, names = accuracy_against_total_bits(POINTS, ylabel="NMSE, mean of dB").axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "log")
    assert left.get_xlabel() == "stored bits per link"
    assert right.get_xlabel() == "resident bits per entry of A"
    assert left.get_ylabel() == "NMSE, mean of dB"
    assert left.get_ylim() == right.get_ylim()
    assert not names.axison
    for axes, key in ((left, "stored"), (right, "resident")):
        low, high = axes.get_xlim()
        assert all(low < point[key] < high for point in POINTS)
    low, high = left.get_ylim()
    assert all(low < point["nmse_db"] < high for point in POINTS)
    assert accuracy_against_total_bits([ROW]).axes[0].get_ylabel() == "NMSE (dB)"


def test_numbers_stand_at_their_points_and_the_list_names_them_by_group() -> None:
    left, right, names = accuracy_against_total_bits(POINTS).axes
    for axes, key in ((left, "stored"), (right, "resident")):
        places = {number.get_text(): number.xy for number in numbers(axes)}
        assert sorted(places) == ["1", "2", "3", "4"]
        for number, point in enumerate(POINTS, start=1):
            np.testing.assert_allclose(places[str(number)], (point[key], point["nmse_db"]), rtol=1e-6)
    lines: dict[float, list[str]] = {}
    for text in names.texts:
        lines.setdefault(-text.get_position()[1], []).append(text.get_text())
    assert [lines[height] for height in sorted(lines)] == [
        ["32 bits"],
        ["1", "LISTA"],
        ["2", "W = A"],
        ["one bit"],
        ["3", "untied"],
        ["4", "tied"],
    ]


@pytest.mark.parametrize("count", [4, 12, 24])
def test_numbers_of_points_apart_overlap_neither_each_other_nor_a_marker(count: int) -> None:
    random = np.random.RandomState(0)
    levels = -60 + 50 * random.permutation(count) / count
    bits = 10 ** np.linspace(-3, 1.5, count)
    points = [
        {"label": f"network {k}", "group": str(k % 3), "nmse_db": levels[k], "stored": bits[k], "resident": 1 + bits[k]}
        for k in range(count)
    ]
    figure = accuracy_against_total_bits(points)
    left = figure.axes[0]
    found = boxes(figure, left)
    assert len(found) == count
    for first, second in combinations(found, 2):
        assert not first.overlaps(second)
    centres = left.transData.transform([(point["stored"], point["nmse_db"]) for point in points])
    for box in found:
        assert not box.count_contains(centres)


def test_numbers_of_points_in_a_heap_still_stand_in_different_places() -> None:
    heap = [{**ROW, "label": str(k), "nmse_db": -30.0 - 0.01 * k, "stored": 1.0 + 0.001 * k} for k in range(6)]
    far = [{**ROW, "label": "far", "nmse_db": -80.0, "stored": 0.01, "resident": 100.0}]
    figure = accuracy_against_total_bits(heap + far)
    places = [(number.xyann, number.get_horizontalalignment()) for number in numbers(figure.axes[0])][:6]
    assert len(set(places)) == 6


def test_references_are_lines_in_both_panels_with_one_label() -> None:
    left, right, _ = accuracy_against_total_bits(POINTS, {"ALISTA, published": -79.0}).axes
    for axes in (left, right):
        lines = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines() if line.get_marker() == "None"]
        assert [line for line in lines if line != [0, 1]] == [[-79.0, -79.0]]  # [0, 1]: a line from bottom to top
        low, high = axes.get_ylim()
        assert low < -79.0 < high
    assert [text.get_text() for text in right.texts if not text.get_text().isdigit()] == ["ALISTA, published"]
    assert [text.get_text() for text in left.texts if not text.get_text().isdigit()] == ["1 bit", "1.58"]


def test_it_is_written(tmp_path: Any) -> None:
    for path in save(accuracy_against_total_bits(POINTS, {"published": -40.0}), tmp_path / "bits"):
        assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], "accuracy_against_total_bits: expected at least one point"),
        ([{"label": "a", "stored": 1.0}], r"a point lacks group, nmse_db, resident: \{'label': 'a', 'stored': 1.0\}"),
        ([ROW, {**ROW, "stored": 0.0}], r"expected bits > 0 on logarithmic axes: \{.*'stored': 0.0"),
        ([{**ROW, "resident": -1.0}], r"expected bits > 0 on logarithmic axes: \{.*'resident': -1.0"),
        ([{**ROW, "stored": float("nan")}], r"expected bits > 0 on logarithmic axes: \{.*'stored': nan"),
    ],
)
def test_misuse_is_named(points: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accuracy_against_total_bits(points)
