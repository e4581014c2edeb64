"""Quality against stored bits, format by format: what is drawn, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unrollbit.plots import quality_at_bits


def point(problem: str, name: str, bits: float, mean: float) -> dict[str, Any]:
    return {"problem": problem, "format": name, "bits": bits, "mean": mean, "low": mean - 1, "high": mean + 2}


POINTS = [
    point("sparse", "one-bit", 1.0, -40.0),
    point("sparse", "one-bit", 0.0625, -30.0),
    point("sparse", "ternary", 1.6, -35.0),
    point("blocks", "one-bit", 0.125, -20.0),
]


def test_panels_markers_bars_and_reference_lines() -> None:
    figure = quality_at_bits(POINTS, {"sparse": {"full precision": -60.0}})
    assert [axes.get_title() for axes in figure.axes] == ["sparse", "blocks"]
    sparse = figure.axes[0]
    curves = {container.get_label(): container for container in sparse.containers}
    assert set(curves) == {"one-bit", "ternary"}
    line = curves["one-bit"].lines[0]
    np.testing.assert_array_equal(line.get_xdata(), [0.0625, 1.0])  # sorted
    np.testing.assert_array_equal(line.get_ydata(), [-30.0, -40.0])
    segments = curves["ternary"].lines[2][0].get_segments()
    np.testing.assert_allclose(segments[0][:, 1], [-36.0, -33.0])
    envelope = next(line for line in sparse.lines if line.get_label() == "best so far")
    np.testing.assert_allclose(envelope.get_ydata(), [-30.0, -40.0, -40.0])  # ternary is no better at more bits
    assert {text.get_text() for text in sparse.texts} == {"full precision", "1.0", "1.58"}
    assert [text.get_text() for text in figure.legends[0].get_texts()].count("one-bit") == 1
    assert sparse.get_xscale() == "log"


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="at least one point"):
        quality_at_bits([])
    with pytest.raises(ValueError, match="lacks mean"):
        quality_at_bits([{key: value for key, value in POINTS[0].items() if key != "mean"}])
    with pytest.raises(ValueError, match="bits > 0"):
        quality_at_bits([point("sparse", "one-bit", 0.0, -1.0)])
