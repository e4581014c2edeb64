"""Figures of theorems: what they show is what they were given."""

import pytest

from unrollbit.plots import bounds_per_layer, tightness_of_theorems

ROWS = [
    {"theorem": "S1", "family": "stability", "status": "holds", "tightness": 0.5, "vacuous": False},
    {"theorem": "C2", "family": "convergence", "status": "holds", "tightness": 1e-9, "vacuous": True},
    {"theorem": "G1", "family": "generalization", "status": "not applicable", "tightness": None, "vacuous": False},
]
LAYERS = {"theorem": "C2", "family": "convergence", "statement": "contraction"}
LAYERS |= {"bounds": (1.0, 0.5), "measurements": (1.0, 0.2)}


def test_dots_are_filled_where_a_bound_says_something():
    axes = tightness_of_theorems(ROWS).axes[0]
    dots = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [0.5, 1e-6]
    assert [dot.get_markerfacecolor() == "none" for dot in dots] == [False, True]
    assert [text.get_text() for text in axes.texts] == ["not applicable"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["S1", "C2", "G1"]


def test_a_violation_is_a_cross():
    axes = tightness_of_theorems([{**ROWS[0], "status": "violated", "tightness": 1.5}]).axes[0]
    assert axes.lines[0].get_marker() == "X"


def test_bound_and_measurement_stand_in_one_panel():
    figure = bounds_per_layer([LAYERS, {**LAYERS, "theorem": "C9", "bounds": None}])
    (axes,) = figure.axes
    assert [list(line.get_ydata()) for line in axes.lines] == [[1.0, 0.5], [1.0, 0.2]]
    assert list(axes.lines[0].get_xdata()) == [0, 1]
    assert axes.get_yscale() == "log"
    zero = {**LAYERS, "theorem": "C1", "bounds": (0.0, 0.0)}
    (axes,) = bounds_per_layer([{**LAYERS, "family": "stability", "measurements": (1e-17, 0.2)}, zero]).axes
    assert list(axes.lines[0].get_xdata()) == [1, 2]
    assert axes.get_ylim()[0] == pytest.approx(2e-7)


@pytest.mark.parametrize("draw", [tightness_of_theorems, bounds_per_layer])
def test_missing_rows_and_keys_are_named(draw):
    with pytest.raises(ValueError, match="expected at least one row"):
        draw([])
    with pytest.raises(ValueError, match="a row lacks"):
        draw([{"theorem": "S1", "bounds": (1.0,), "measurements": (1.0,)}])
