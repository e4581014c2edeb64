import numpy as np
import pytest

from unrollbit.plots import generalization_gaps, save

CURVE = {"size": [100, 1000], "training": [-12.0, -11.0], "test": [-6.0, -10.5]}


def test_gaps_are_test_minus_training(tmp_path):
    figure = generalization_gaps({"one-bit": CURVE, "dense ReLU": {**CURVE, "test": [-2.0, -3.0]}})
    left, right = figure.axes
    np.testing.assert_allclose(right.lines[0].get_ydata(), [6.0, 0.5])
    np.testing.assert_allclose(right.lines[1].get_ydata(), [10.0, 8.0])
    np.testing.assert_allclose(left.lines[0].get_ydata(), CURVE["test"])
    for path in save(figure, tmp_path / "gaps"):
        assert path.stat().st_size > 5000


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="expected at least one curve"):
        generalization_gaps({})
    with pytest.raises(ValueError, match="'one-bit' lacks test"):
        generalization_gaps({"one-bit": {"size": [1], "training": [0.0]}})
