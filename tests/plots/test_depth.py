"""Accuracy and storage against depth: both panels, filled and open markers, named errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.lines import Line2D

from unrollbit.plots import curves_of_depth, save

CURVES = {
    "untied": {
        "depth": [4, 8, 16],
        "training": [-12.0, -24.0, -41.0],
        "test": [-11.0, -23.0, -40.0],
        "bits": [1.1] * 3,
    },
    "tied": {"depth": [4, 16], "training": [-9.0, -30.0], "test": [-8.0, -29.0], "bits": [0.3, 0.07]},
}


def data(line: Line2D) -> tuple[list[float], list[float]]:
    return np.asarray(line.get_xdata(), float).tolist(), np.asarray(line.get_ydata(), float).tolist()


def is_open(line: Line2D) -> bool:
    return line.get_linestyle() == "None" and to_rgba(line.get_markerfacecolor())[3] == 0  # pyright: ignore[reportArgumentType]


def ticks(axes: Axes) -> list[str]:
    axes.get_figure().draw_without_rendering()  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]
    return [label.get_text() for label in axes.get_xticklabels()]


def test_every_vector_is_drawn_as_given() -> None:
    left, right = curves_of_depth(CURVES).axes
    filled = [line for line in left.get_lines() if not is_open(line)]
    hollow = [line for line in left.get_lines() if is_open(line)]
    for name, test, training, bits in zip(CURVES, filled, hollow, right.get_lines(), strict=True):
        curve = CURVES[name]
        assert test.get_label() == name
        assert data(test) == (curve["depth"], curve["test"])
        assert data(training) == (curve["depth"], curve["training"])
        assert data(bits) == (curve["depth"], curve["bits"])
        assert test.get_color() == training.get_color() == bits.get_color()
        assert test.get_marker() == training.get_marker() == bits.get_marker()
    assert filled[0].get_color() != filled[1].get_color()


def test_axes_are_logarithmic_and_marked_at_the_depths() -> None:
    left, right = curves_of_depth(CURVES).axes
    assert (left.get_xscale(), left.get_yscale()) == ("log", "linear")
    assert (right.get_xscale(), right.get_yscale()) == ("log", "log")
    assert (left.get_xlabel(), right.get_xlabel()) == ("layers", "layers")
    assert (left.get_ylabel(), right.get_ylabel()) == ("NMSE, mean of dB", "stored bits per link")
    assert ticks(left) == ticks(right) == ["4", "8", "16"]
    assert not list(left.xaxis.get_minorticklocs())
    assert curves_of_depth(CURVES, ylabel="NMSE (dB)").axes[0].get_ylabel() == "NMSE (dB)"


def test_the_legend_names_every_network_once() -> None:
    (legend,) = curves_of_depth(CURVES).legends
    assert [text.get_text() for text in legend.get_texts()] == ["untied", "tied"]


def test_it_is_written(tmp_path: Any) -> None:
    arrays = {name: {key: np.asarray(values) for key, values in curve.items()} for name, curve in CURVES.items()}
    for path in save(curves_of_depth(arrays), tmp_path / "depth"):
        assert path.stat().st_size > 5000


@pytest.mark.parametrize(
    ("curves", "message"),
    [
        ({}, "curves_of_depth: expected at least one curve"),
        ({"a": {"depth": [4], "test": [-1.0]}}, "curves_of_depth: 'a' lacks training, bits"),
        ({**CURVES, "b": {"depth": [4], "training": [0.0], "test": [0.0]}}, "curves_of_depth: 'b' lacks bits"),
    ],
)
def test_misuse_is_named(curves: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        curves_of_depth(curves)
