"""The single-pixel camera's page: what 6 KB recover of whole images beside total variation and wavelets.

    python examples/single_pixel_page.py [--network FILE] [--out FOLDER] [--json FILE]

Prints mean PSNR over all test images of the shipped network (ten layers of one-bit filters, fast transforms, no float
matrix), of total variation and of wavelet FISTA, both tuned on validation images; draws three test images, from the
most to less contrast.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from unrollbit import load
from unrollbit.baselines import drawn, suited, training_signals, tune
from unrollbit.plots import image_page, save
from unrollbit.problems import Problem, SinglePixelCamera

SHIPPED = Path(__file__).parent / "networks" / "single-pixel-image.safetensors"
BESIDE, CONVERGED = ("wavelet fista", "total variation"), 300
SHOWN = 3


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, default=SHIPPED, help="a network for the single-pixel camera")
    parser.add_argument("--out", type=Path, default=Path("runs/single-pixel"), help="folder of the figure")
    parser.add_argument("--json", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    try:
        packed = load(options.network)
        problem = Problem.from_spec(packed.problem or {})
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if not isinstance(problem, SinglePixelCamera):
        parser.error(f"--network: expected one for SinglePixelCamera, got {type(problem).__name__}")
    test, tuning = problem.split("test"), drawn(problem, "validation", 64, 0)
    x, y = test.all()
    found = suited(problem, training_signals(problem, 0), tuning, packed.network.depth, CONVERGED)
    methods = {baseline.name: baseline for baseline in found}
    estimates = {
        name: tune(methods[name], problem, *tuning, reduction="mean_of_db").baseline(problem, y) for name in BESIDE
    }
    estimates[f"network, {options.network.stat().st_size / 1024:.1f} KiB"] = packed(y)
    levels = {name: psnr(test, estimate, x) for name, estimate in estimates.items()}
    ours = list(levels.values())[-1]
    for name, level in levels.items():
        ahead = ours - level
        print(
            f"{name:24s} PSNR {level.mean():6.2f} dB, network ahead by {ahead.mean():5.2f} ({ahead.min():.2f} at least)"
        )
    print(
        f"{len(x)} test images of {problem.size} x {problem.size} pixels, {problem.operator.shape[0]} measurements each"
    )
    chosen = np.argsort(-np.asarray(jnp.std(test.signal(x), axis=1)))[:: max(1, len(x) // (SHOWN + 1))][:SHOWN]
    pictures = {"truth": x, **estimates}
    rows = [{name: square(test, values[k]) for name, values in pictures.items()} for k in chosen]
    for path in save(image_page(rows), options.out / "page"):
        print(path)
    if options.json is not None:
        options.json.write_text(json.dumps({name: level.tolist() for name, level in levels.items()}))


def psnr(problem: SinglePixelCamera, estimate: Float[Array, "count n"], x: Float[Array, "count n"]) -> np.ndarray:
    """PSNR of every image in dB."""
    error = np.mean((np.asarray(problem.signal(estimate)) - np.asarray(problem.signal(x))) ** 2, axis=1)
    return -10 * np.log10(error)


def square(problem: SinglePixelCamera, x: Float[Array, " n"]) -> np.ndarray:
    """The pixels of an image."""
    return np.clip(np.asarray(problem.signal(x)).reshape(problem.size, problem.size), 0, 1)


if __name__ == "__main__":
    main()
