"""Images side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike

from unrollbit.plots.style import TEXT, paper_style


def image_row(
    images: Mapping[str, ArrayLike], captions: Mapping[str, str] | None = None, *, peak: float = 1.0
) -> Figure:
    """A row of grey images on one scale from 0 to ``peak``: the truth first, then estimates.

    Under each image stands its caption; without one, the PSNR against the first image if the shapes agree (a
    measurement of another shape has none). Raises ``ValueError`` without images, for arrays that are not 2-D, and for
    captions of images that are not there.
    """
    return image_page([images], [captions or {}], peak=peak)


def image_page(
    rows: Sequence[Mapping[str, ArrayLike]], captions: Sequence[Mapping[str, str]] | None = None, *, peak: float = 1.0
) -> Figure:
    """Rows of grey images as in ``image_row``, one below the other; the names of the first row stand above.

    Raises ``ValueError`` also for rows that do not have the same names.
    """
    if not rows or not rows[0]:
        raise ValueError("image_row: expected at least one image")
    names = list(rows[0])
    captions = [{}] * len(rows) if captions is None else captions
    for row, texts in zip(rows, captions, strict=True):
        if list(row) != names:
            raise ValueError(f"image_page: expected the images {', '.join(names)} in every row, got {', '.join(row)}")
        if stray := sorted(texts.keys() - row.keys()):
            raise ValueError(f"image_row: captions for images that are not there: {', '.join(stray)}")
    arrays = [{name: np.asarray(image, np.float64) for name, image in row.items()} for row in rows]
    for name, array in (item for row in arrays for item in row.items()):
        if array.ndim != 2 or not array.size:
            raise ValueError(f"image_row: expected a 2-D array for {name!r}, got shape {array.shape}")
    ratios = [array.shape[1] / array.shape[0] for array in arrays[0].values()]
    with paper_style():
        width = min(TEXT, 1.9 * sum(ratios))
        tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02)
        height = width / sum(ratios) + 0.25
        figure = Figure(figsize=(width, len(rows) * height + 0.2), layout=tight)
        grid = figure.subplots(len(rows), len(names), squeeze=False, width_ratios=ratios)
        for number, (line, row, texts) in enumerate(zip(grid, arrays, captions, strict=True)):
            truth = row[names[0]]
            for axes, (name, array) in zip(line, row.items(), strict=True):
                axes.imshow(array, vmin=0, vmax=peak)
                if number == 0:
                    axes.set_title(name, pad=3)
                compared = name != names[0] and array.shape == truth.shape
                axes.set_xlabel(texts.get(name, _psnr(array, truth, peak) if compared else ""), labelpad=3)
                axes.set(xticks=[], yticks=[])
                axes.grid(visible=False)
                axes.spines[:].set_visible(False)
    return figure


def _psnr(image: np.ndarray, truth: np.ndarray, peak: float) -> str:
    error = np.mean(((image.astype(np.float64) - truth) / peak) ** 2)
    error = max(float(error), 1e-14)  # at most 140 dB, as in metrics.psnr_db
    return f"PSNR {-10 * np.log10(error):.1f} dB"
