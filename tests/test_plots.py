"""Figures are made, labelled and written; empty and malformed input is refused."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from unrollbit.plots import (
    accuracy_against_bits,
    image_row,
    line_styles,
    nmse_per_layer,
    paper_style,
    recovered_signal,
    save,
    training_curves,
)

X = np.sin(np.arange(64) / 5)
IMAGE = np.linspace(0, 1, 64).reshape(8, 8)
RECORDS = [
    {"step": s, "loss": 1.0 / (s + 1), "stage": s // 50} | ({"nmse_db": -s / 5} if s % 20 == 0 else {})
    for s in range(100)
]
POINTS = [
    {"method": m, "problem": p, "bits_per_link": b, "nmse_db": -10 - 10 * b}
    for m in ("signs", "ternary")
    for p in ("sparse", "EEG")
    for b in (0.1, 1.0)
]

FIGURES = {
    "layers": lambda: nmse_per_layer({"one-bit": -np.arange(5.0), "ISTA": [-1.0, -2.0]}, {"ALISTA": -3.0}),
    "signals": lambda: recovered_signal(X, {"one-bit": 0.9 * X, "ISTA": 0.5 * X}, 100.0),
    "images": lambda: image_row({"truth": IMAGE, "sinogram": np.ones((4, 9)), "one-bit": IMAGE + 0.1}),
    "training": lambda: training_curves(RECORDS),
    "rates": lambda: accuracy_against_bits(POINTS),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_as_pdf_and_png(name, tmp_path):
    before = dict(matplotlib.rcParams)
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    pdf, png = save(figure, tmp_path / "figures" / f"{name}.v1")
    assert (pdf.name, png.name) == (f"{name}.v1.pdf", f"{name}.v1.png")
    assert pdf.read_bytes().startswith(b"%PDF")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before


def _texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_layers_are_counted_from_one_and_labelled():
    (axes,) = FIGURES["layers"]().axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("layer", "NMSE (dB)")
    assert list(axes.get_lines()[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert axes.get_legend() is None  # it stands outside the axes


def test_labels_of_close_levels_do_not_overlap():
    figure = nmse_per_layer({"one-bit": -10 * np.arange(5.0)}, {"a": -20.0, "b": -20.1, "c": -19.9})
    heights = sorted(text.xy[1] for text in figure.axes[0].texts)
    assert min(np.diff(heights)) > 0.08


def test_signals_have_time_or_samples_and_their_nmse():
    rows = FIGURES["signals"]().axes
    assert rows[-1].get_xlabel() == "time (s)"
    assert rows[0].get_title(loc="left") == "one-bit  (\N{MINUS SIGN}20.0 dB)"
    assert rows[0].get_lines()[0].get_xdata()[-1] == pytest.approx(0.63)
    assert recovered_signal(X, {"a": X}).axes[-1].get_xlabel() == "sample"
    assert recovered_signal(0 * X, {"a": X}).axes[0].get_title(loc="left") == "a"


def test_images_are_captioned_with_their_psnr():
    truth, sinogram, estimate = FIGURES["images"]().axes
    assert (truth.get_xlabel(), sinogram.get_xlabel()) == ("", "")
    assert estimate.get_xlabel() == "PSNR 20.0 dB"
    assert image_row({"truth": IMAGE}, {"truth": "8 x 8"}).axes[0].get_xlabel() == "8 x 8"


def test_training_marks_stages():
    figure = FIGURES["training"]()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "NMSE of batches (dB)"]
    assert figure.axes[-1].get_xlabel() == "training step"
    assert _texts(figure) == ["stage 0", "stage 1"]
    assert len(training_curves([{"step": 1, "loss": 2.0}, {"note": "resumed"}]).axes) == 1


def test_stages_are_marked_where_they_start_and_curves_say_what_was_measured():
    """Records stand at the end of their steps: a stage starts where the one before has ended, not at its own first."""
    records = [
        {"step": step, "stage": stage, "name": name, "loss": -1.0, "nmse_db": -3.0}
        for step, stage, name in ((50, 0, "2 layers"), (60, 0, "2 layers"), (110, 1, "4 layers"), (130, 1, "4 layers"))
    ]
    records[1]["validation_nmse_db"] = -2.0
    figure = training_curves(records)
    for axes in figure.axes:
        assert [line.get_xdata()[0] for line in axes.get_lines() if len(set(line.get_xdata())) == 1][-1] == 60
    assert _texts(figure) == ["2 layers", "4 layers"]
    assert figure.axes[1].get_ylabel() == "NMSE (dB)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training batches", "validation signals"]
    batches, validation, *_ = figure.axes[1].get_lines()
    assert list(batches.get_xdata()) == [50, 60, 110, 130]
    assert (list(validation.get_xdata()), list(validation.get_ydata())) == ([60], [-2.0])


def test_rates_have_reference_lines_and_a_log_axis():
    figure = FIGURES["rates"]()
    assert [axes.get_title() for axes in figure.axes] == ["sparse", "EEG"]
    assert {axes.get_xscale() for axes in figure.axes} == {"log"}
    assert figure.axes[0].get_xlabel() == "stored bits per link"
    assert figure.axes[0].get_ylabel() == "NMSE (dB)"
    assert _texts(figure) == ["1.0", "1.58"] * 2
    assert len(accuracy_against_bits([{"method": "a", "bits_per_link": 1, "nmse_db": 0}]).axes) == 1


def test_curves_differ_without_colour():
    styles = [style for style, _ in zip(line_styles(), range(7), strict=False)]
    assert len({str(style["linestyle"]) for style in styles}) == 7
    assert len({style["marker"] for style in styles}) == 7
    with paper_style():
        assert matplotlib.rcParams["font.size"] == 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nmse_per_layer({}), "at least one curve"),
        (lambda: nmse_per_layer({"a": np.ones((2, 2))}), r"K values for 'a', got shape \(2, 2\)"),
        (lambda: recovered_signal(X, {}), "at least one estimate"),
        (lambda: recovered_signal([], {"a": []}), "a truth of n entries"),
        (lambda: recovered_signal(X, {"a": X[:3]}), r"expected 64 entries for 'a', got shape \(3,\)"),
        (lambda: recovered_signal(X, {"a": X}, 0.0), "sampling_rate must be positive"),
        (lambda: image_row({}), "at least one image"),
        (lambda: image_row({"a": X}), r"a 2-D array for 'a', got shape \(64,\)"),
        (lambda: image_row({"a": IMAGE}, {"b": ""}), "images that are not there: b"),
        (lambda: training_curves([]), "no record has a 'step'"),
        (lambda: training_curves([{"loss": 1.0}]), "no record has a 'step'"),
        (lambda: accuracy_against_bits([]), "at least one point"),
        (lambda: accuracy_against_bits([{"method": "a"}]), "lacks bits_per_link, nmse_db"),
        (lambda: accuracy_against_bits([{"method": "a", "bits_per_link": 0, "nmse_db": 0}]), "bits_per_link > 0"),
    ],
)
def test_misuse_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
