"""The part of a model card that shows photographs: figures, gains over classic methods, and a page of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unrollbit.cli.evaluate_images import NETWORK, methods_of, on_images, recovered_pictures
from unrollbit.cli.networks import image_problem_of
from unrollbit.packed import PackedNetwork
from unrollbit.plots import image_page

_SHOWN = ("linear estimate", "total variation", NETWORK)
_CROP = 160  # pixels a side of what the page shows


def measured_images(
    packed: PackedNetwork, pictures: Mapping[str, np.ndarray], seed: int
) -> tuple[dict[str, Any], Figure]:
    """Figures on photographs, and the page: the photographs of least, median and largest gain over total variation."""
    problem = image_problem_of(packed)
    methods = methods_of(packed, problem, seed)
    found = on_images(methods, problem, pictures, seed)
    gains = next(row["gains_db"] for row in found["baselines"] if row["method"] == "total variation")
    order = np.argsort(gains)
    names, rows = list(pictures), []
    shown = {name: methods[name] for name in _SHOWN}
    for index in dict.fromkeys(int(order[i]) for i in (0, len(order) // 2, -1)):
        row = recovered_pictures(shown, problem, pictures[names[index]], seed, index)
        rows.append({name: _centre(pixels) for name, pixels in row.items()})
    return found, image_page(rows)


def _centre(pixels: np.ndarray) -> np.ndarray:
    top, left = ((side - min(side, _CROP)) // 2 for side in pixels.shape)
    return pixels[top : top + _CROP, left : left + _CROP]


def images_text(found: Mapping[str, Any], picture: str) -> str:
    """The Markdown of ``measured_images``; ``picture`` is the file name of the page."""
    header = ("method", "PSNR (dB)", "PSNR of the mean error", "SSIM", "ms an image", "images lost to it", "gains (dB)")
    rows = [("**this network**", *_figures(found), "", "")]
    for row in found["baselines"]:
        gains = row["gains_db"]
        rows.append(
            (row["method"], *_figures(row), f"{len(gains) - row['images_won']} of {len(gains)}", _spread(gains))
        )
    lines = [header, ["---"] * len(header), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    notes = (
        f"{len(found['images'])} photographs of `{found['folder']}`, whole, measured as in training (seed "
        f"{found['seed']}). PSNR: mean of each photograph's, estimates clipped to [0, 1]. Gains: PSNR of the network "
        "over the method's on the same photograph: least, quartiles, largest. Weights of total variation and Tikhonov "
        "are the best on other photographs."
    )
    shown = "The middle of the photographs of least, median and largest gain over total variation."
    return f"{table}\n\n{notes}\n\n![photographs]({picture})\n\n{shown}"


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    similar = "-" if row["ssim"] is None else f"{row['ssim']:.4f}"
    return f"{row['psnr_db']:.2f}", f"{row['psnr_db_of_mean_error']:.2f}", similar, f"{row['milliseconds']:.1f}"


def _spread(gains: Sequence[float]) -> str:
    return ", ".join(f"{gain:+.2f}" for gain in np.quantile(gains, (0, 0.25, 0.5, 0.75, 1)))
