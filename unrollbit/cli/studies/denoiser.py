"""A residual denoiser in each format, beside the learned filter priors of the shelf: PSNR against bytes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from unrollbit.bits import count_bits
from unrollbit.cli.arguments import positive
from unrollbit.cli.evaluate_images import NETWORK, methods_of, on_images
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.picture_files import photographs_in
from unrollbit.cli.studies.denoiser_training import CONTINUED, FLOAT, FORMATS, QUICK, Size, Training, told, train_one
from unrollbit.cli.studies.model_training import holdable
from unrollbit.cli.studies.shelf import network_files
from unrollbit.cli.tables import print_table
from unrollbit.cli.telling import telling
from unrollbit.cli.whole_images import Measured
from unrollbit.packed import load
from unrollbit.plots import psnr_against_bytes, save
from unrollbit.problems import ImageRecovery
from unrollbit.problems.recovery import image_problem_of

PRIORS = ("denoising-25", "denoising-25-2plane")
_QUICK = 2  # photographs
_TITLE, _SHOWN = "Noise of 25/255", 1.0  # dB below the networks


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="photographs to train on (default: our own)")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="photographs to test on (default: those held back)"
    )
    parser.add_argument("--steps", type=positive, metavar="N", help=f"of each training (default {Size.steps})")
    parser.add_argument("--width", type=positive, metavar="N", help=f"channels (default {Size.width})")
    parser.add_argument("--layers", type=positive, metavar="N", help=f"inner convolutions (default {Size.layers})")


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train the float network, then the students from it, measure all, print the table, draw the figure."""
    given = {name: getattr(options, name) for name in ("steps", "width", "layers") if getattr(options, name)}
    size = replace(QUICK if options.quick else Size(), **given)
    photographs = None if options.data is None else str(options.data.resolve())
    found, missing = holdable(FORMATS, (size.width, 9 * size.width))
    names = (FLOAT, CONTINUED, *found)
    tasks = [Training(name, options.seed, size, out, photographs) for name in names]
    with telling() as tell:
        tell(f"{FLOAT}: {size.steps} steps, from which the students start")
        first = train_one(tasks[0])
    trained = [first, *in_parallel(train_one, tasks[1:], options.workers, told)]
    pictures = _pictures(options.images, tasks[0].problem(), options.quick)
    trained = sorted(trained, key=lambda row: names.index(row["method"]))
    rows = [row | measured(row, tasks[0], pictures, options.seed) for row in trained]
    rows += beside(pictures, options.seed)
    show(rows, size, len(pictures))
    for line in missing:
        print(f"not at this width: {line}")
    save(draw(rows), out / "figures" / "denoiser")
    return {"rows": rows, "size": vars(size), "images": len(pictures), "missing": missing}


def draw(rows: list[dict[str, Any]]) -> Any:
    """PSNR against bytes; of the methods without a file those near the networks."""
    points = [{**row, "test": _TITLE} for row in rows if row["bytes"]]
    lowest = min(row["psnr_db"] for row in points) - _SHOWN
    levels = {row["method"]: row["psnr_db"] for row in rows if not row["bytes"] and row["psnr_db"] >= lowest}
    return psnr_against_bytes(points, {_TITLE: levels})


def measured(row: Mapping[str, Any], task: Training, pictures: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """The figures of a packed model on photographs."""
    packed = load(task.out / row["path"], task.size.model(0))
    problem = replace(task, photographs=None).problem()

    @jax.jit
    def apply(model: Any, y: Array) -> Array:
        return model(y)

    def method(at: Measured) -> Any:
        return lambda y: apply(packed.network, y.reshape(-1, *at.shape)).reshape(y.shape)

    return {"group": "residual denoiser", **_kept(on_images({NETWORK: method}, problem, pictures, seed))} | {
        "bytes": (task.out / row["path"]).stat().st_size,
        "bits_per_weight": count_bits(packed).bits_per_link or 32.0,
    }


def beside(pictures: Mapping[str, np.ndarray], seed: int) -> list[dict[str, Any]]:
    """Learned filter priors of the shelf, and total variation."""
    try:
        files = network_files(())
    except ValueError:  # not in the project's folder
        files = {}
    rows: list[dict[str, Any]] = []
    for name in PRIORS:
        if name not in files:
            continue
        packed = load(files[name])
        problem = image_problem_of(packed)
        found = on_images(methods_of(packed, problem, seed, classic=not rows), problem, pictures, seed)
        kept = {"group": "learned filter prior", "bytes": files[name].stat().st_size, "bits_per_weight": None}
        classic = [{**other, "group": "classic", "bytes": None} for other in found["baselines"]]
        rows += [{"method": name, **_kept(found), **kept}, *({**row, **_kept(row)} for row in classic)]
    keys = ("method", "group", "bytes", "psnr_db", "ssim", "milliseconds", "bits_per_weight", "seconds")
    return [{key: row.get(key) for key in keys} for row in rows]


def _kept(found: Mapping[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("psnr_db", "psnr_db_of_mean_error", "ssim", "milliseconds")}


def _pictures(folder: Path | None, problem: ImageRecovery, quick: bool) -> dict[str, np.ndarray]:
    """Photographs of a folder, or those of the problem that are held back for tests."""
    if folder is not None:
        found = dict(photographs_in(folder))
    else:
        test = problem.split("test")
        found = {name: test.images.read(name) for name in test.pictures()}
    return dict(list(found.items())[:_QUICK]) if quick else found


def show(rows: list[dict[str, Any]], size: Size, count: int) -> None:
    """The table, by the bytes."""
    columns = ("method", "bits a weight", "bytes", "PSNR (dB)", "SSIM", "ms an image", "training (s)")
    keys = ("method", "bits_per_weight", "bytes", "psnr_db", "ssim", "milliseconds", "seconds")
    ordered = sorted(rows, key=lambda row: -(row["bytes"] or 0))
    notes = (f"{count} photographs. First and last convolution: floats in all. Students start at the float network.",)
    title = f"Denoising at 25/255: {size.layers} inner convolutions of {size.width} channels, {size.steps} steps"
    print_table(title, columns, [[row.get(key) for key in keys] for row in ordered], notes)
