"""What a model card shows of photographs: figures on a folder, gains over other methods, a page of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unrollbit.cli.evaluate_images import NETWORK, methods_of, on_images, recovered_pictures
from unrollbit.packed import PackedNetwork
from unrollbit.plots import image_page
from unrollbit.problems.photographs import Shipped
from unrollbit.problems.recovery import image_problem_of

_SHOWN = ("linear estimate", "total variation", NETWORK)
_CROP = 160  # pixels a side of what the page shows


def measured_images(
    packed: PackedNetwork, pictures: Mapping[str, np.ndarray], seed: int
) -> tuple[dict[str, Any], Figure]:
    """Figures on photographs, and the page: the library's own test photographs of least, median and largest gain over
    total variation. A card shows no photograph of the user's.
    """
    problem = image_problem_of(packed)
    methods = methods_of(packed, problem, seed)
    shown = {name: methods[name] for name in _SHOWN}
    shipped = Shipped()
    middles = {name: _centre(shipped.read(name)) for name in shipped.names("test")}
    compared = on_images(shown, problem, middles, seed)["baselines"]
    gains = next(row["gains_db"] for row in compared if row["method"] == "total variation")
    order, names = np.argsort(gains), list(middles)
    indices = dict.fromkeys(int(order[i]) for i in (0, len(order) // 2, -1))
    rows = [recovered_pictures(shown, problem, middles[names[i]], seed, i) for i in indices]
    return on_images(methods, problem, pictures, seed), image_page(rows)


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
    shown = "The middle of the library's own test photographs, by rising gain over total variation."
    return f"{table}\n\n{notes}\n\n![photographs]({picture})\n\n{shown}"


def _figures(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    similar = "-" if row["ssim"] is None else f"{row['ssim']:.4f}"
    return f"{row['psnr_db']:.2f}", f"{row['psnr_db_of_mean_error']:.2f}", similar, f"{row['milliseconds']:.1f}"


def _spread(gains: Sequence[float]) -> str:
    return ", ".join(f"{gain:+.2f}" for gain in np.quantile(gains, (0, 0.25, 0.5, 0.75, 1)))
