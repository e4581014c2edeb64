"""Images side by side."""

from __future__ import annotations

from collections.abc import Mapping

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
    if not images:
        raise ValueError("image_row: expected at least one image")
    captions = captions or {}
    if stray := sorted(captions.keys() - images.keys()):
        raise ValueError(f"image_row: captions for images that are not there: {', '.join(stray)}")
    arrays = {name: np.asarray(image, np.float64) for name, image in images.items()}
    for name, array in arrays.items():
        if array.ndim != 2 or not array.size:
            raise ValueError(f"image_row: expected a 2-D array for {name!r}, got shape {array.shape}")
    truth_name, truth = next(iter(arrays.items()))
    ratios = [array.shape[1] / array.shape[0] for array in arrays.values()]
    with paper_style():
        width = min(TEXT, 1.9 * sum(ratios))
        tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.02)
        figure = Figure(figsize=(width, width / sum(ratios) + 0.45), layout=tight)
        row = figure.subplots(1, len(arrays), squeeze=False, width_ratios=ratios)[0]
        for axes, (name, array) in zip(row, arrays.items(), strict=True):
            axes.imshow(array, vmin=0, vmax=peak)
            axes.set_title(name, pad=3)
            compared = name != truth_name and array.shape == truth.shape
            axes.set_xlabel(captions.get(name, _psnr(array, truth, peak) if compared else ""), labelpad=3)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
    return figure


def _psnr(image: np.ndarray, truth: np.ndarray, peak: float) -> str:
    error = max(float(np.mean((image - truth) ** 2)) / peak**2, 1e-14)
    return f"PSNR {-10 * np.log10(error):.1f} dB"
