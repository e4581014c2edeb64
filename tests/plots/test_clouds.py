"""Errors of single signals: every signal drawn before and after, near its number of non-zeros, named errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from unrollbit.plots import errors_of_signals, save

COUNT = 200
RANDOM = np.random.RandomState(0)
NETWORKS: dict[str, dict[str, Any]] = {
    name: {
        "non-zeros": RANDOM.binomial(512, 0.1, COUNT),
        "before": RANDOM.uniform(-50, 0, COUNT),
        "after": RANDOM.uniform(-90, -50, COUNT),
    }
    for name in ("tied", "untied", "W = A")
}
LABELS = {"before": "as trained", "after": "last layers repeated"}


def dots(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.get_lines()}


def test_every_signal_is_a_dot_at_its_error_and_number_of_non_zeros() -> None:
    figure = errors_of_signals(NETWORKS)
    assert [axes.get_title() for axes in figure.axes] == list(NETWORKS)
    for axes, network in zip(figure.axes, NETWORKS.values(), strict=True):
        lines = dots(axes)
        assert set(lines) == set(LABELS.values())
        for key, label in LABELS.items():
            np.testing.assert_array_equal(lines[label].get_ydata(), network[key])
            np.testing.assert_array_equal(np.round(np.asarray(lines[label].get_xdata())), network["non-zeros"])
            assert lines[label].get_linestyle() == "None"
        before, after = (lines[label] for label in LABELS.values())
        np.testing.assert_array_equal(before.get_xdata(), after.get_xdata())  # a signal stays in its place
        assert before.get_color() != after.get_color()
        assert before.get_marker() != after.get_marker()


def test_signals_with_as_many_non_zeros_do_not_hide_each_other() -> None:
    same = {"non-zeros": np.full(50, 7), "before": np.zeros(50), "after": np.zeros(50)}
    places = np.asarray(dots(errors_of_signals({"a": same}).axes[0])["as trained"].get_xdata())
    assert len(set(places.tolist())) == 50
    assert np.abs(places - 7).max() < 0.5


def test_the_same_data_give_the_same_figure() -> None:
    first, second = (dots(errors_of_signals(NETWORKS).axes[0])["as trained"].get_xdata() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_axes_are_named_and_share_their_levels() -> None:
    figure = errors_of_signals(NETWORKS)
    assert {axes.get_xlabel() for axes in figure.axes} == {"non-zeros of the signal"}
    assert [axes.get_ylabel() for axes in figure.axes] == ["NMSE of the signal (dB)", "", ""]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_the_legend_has_dots_that_can_be_seen() -> None:
    (legend,) = errors_of_signals(NETWORKS).legends
    assert [text.get_text() for text in legend.get_texts()] == list(LABELS.values())
    handles = [handle for handle in legend.legend_handles if isinstance(handle, Line2D)]
    assert [(handle.get_markersize(), handle.get_alpha()) for handle in handles] == [(4, 1), (4, 1)]


def test_it_is_written_with_dots_as_pixels(tmp_path: Any) -> None:
    signals = 20_000
    many = {key: np.resize(values, signals) for key, values in NETWORKS["tied"].items()}
    pdf, png = save(errors_of_signals({"tied": many}), tmp_path / "hard-signals")
    assert 5000 < pdf.stat().st_size < 5 * signals
    assert png.stat().st_size > 5000


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ({}, "errors_of_signals: expected at least one network"),
        ({"a": {"before": [0.0]}}, "errors_of_signals: 'a' lacks non-zeros, after"),
        ({**NETWORKS, "b": {"non-zeros": [1], "before": [0.0]}}, "errors_of_signals: 'b' lacks after"),
    ],
)
def test_misuse_is_named(networks: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        errors_of_signals(networks)
