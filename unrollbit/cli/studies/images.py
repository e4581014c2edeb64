"""Public test images: networks of the shelf beside published figures and classic methods on the same measurements."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrollbit.cli.evaluate_images import methods_of, on_images
from unrollbit.cli.picture_files import photographs_in
from unrollbit.cli.studies.shelf import network_files
from unrollbit.cli.tables import print_table
from unrollbit.packed import load
from unrollbit.plots import psnr_against_bytes, save
from unrollbit.problems.recovery import image_problem_of

_ISTA = "Zhang, Ghanem, CVPR 2018"
_QUICK = 2  # images of each set
_SHOWN = 2.5  # dB below the last network: classic methods that the figure shows


class Published(NamedTuple):
    """A figure of the literature; ``bytes`` of its weights where they are known."""

    method: str
    psnr_db: float
    bytes: int | None
    source: str


class Test(NamedTuple):
    """A test set: its folder, which of its images count, the networks for it, and what others have published."""

    title: str
    folder: str
    networks: tuple[str, ...]
    published: tuple[Published, ...]
    sigma: float | None = None  # noise that is not the problem's own
    first: int = 0  # image in the order of names; those before it were for training
    note: str = ""


def _denoising(*levels: float) -> tuple[Published, ...]:
    """Of BM3D, TNRD and DnCNN, one network a noise level, in the tables of Zhang et al."""
    sizes = (("BM3D", None), ("TNRD", None), ("DnCNN", 2_200_000))
    source = "Zhang et al., IEEE TIP 2017"
    return tuple(Published(name, level, size, source) for (name, size), level in zip(sizes, levels, strict=True))


TESTS = (
    Test(
        "Set11 at 25 %",
        "set11",
        ("set11-25",),
        (Published("ISTA-Net+", 32.57, 1_350_000, _ISTA),),
        note="published with 33 x 33 Gaussian blocks; here 16 x 16 blocks of learned signs",
    ),
    Test(
        "Set11 at 10 %",
        "set11",
        ("set11-10",),
        (Published("ISTA-Net+", 26.64, 1_350_000, _ISTA),),
        note="as above",
    ),
    *(
        Test(f"BSD68 at {level}/255", "bsd68", names, _denoising(*levels) + others, sigma=level / 255)
        for level, names, levels, others in (
            (15, ("denoising-any",), (31.07, 31.42, 31.73), ()),
            (
                25,
                ("denoising-25-2plane", "denoising-25", "denoising-25-convex", "denoising-any"),
                (28.57, 28.92, 29.23),
                (Published("CSCNet", 29.11, None, "Simon, Elad, NeurIPS 2019"),),
            ),
            (50, ("denoising-any",), (25.62, 25.97, 26.23), ()),
        )
    ),
    Test(
        "brain at 20 %",
        "brain",
        ("mri-20",),
        (Published("ISTA-Net+", 39.13, 1_350_000, f"{_ISTA}; its weights on 10 of the 50 slices, zero-filled 30.69"),),
        first=10,
        note="the 10 first slices of the folder are for training",
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where images and networks are."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="folder with the test sets as folders of images: set11, bsd68, brain; those that it lacks are left out",
    )
    parser.add_argument(
        "networks", nargs="*", type=Path, metavar="FILE|FOLDER", help="packed networks (default: examples/networks)"
    )


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Measure, print the tables, draw the figure."""
    files = network_files(options.networks)
    tests = [test for test in TESTS if (options.data / test.folder).is_dir()]
    if not tests:
        folders = ", ".join(sorted({test.folder for test in TESTS}))
        raise ValueError(f"--data: expected one of the folders {folders} in {options.data}")
    results, missing = [], []
    for test in tests:
        pictures = dict(list(photographs_in(options.data / test.folder).items())[test.first :])
        pictures = dict(list(pictures.items())[:_QUICK]) if options.quick else pictures
        missing += [name for name in test.networks if name not in files]
        known = {name: files[name] for name in test.networks if name in files}
        if known:
            results.append(measured(test, known, pictures, options.seed))
            print_test(results[-1])
    if not results:
        raise ValueError(f"none of the networks {', '.join(missing)} is here; train them, or name their folder")
    save(psnr_against_bytes(*figure_points(results)), out / "figures" / "images")
    return {
        "rows": rows_of(results),
        "tests": results,
        "missing": list(dict.fromkeys(missing)),
        "test_seed": options.seed,
    }


def measured(test: Test, files: Mapping[str, Path], pictures: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """The rows of one test: published ones, networks, and classic methods on the measurements of the first network."""
    networks, baselines = [], []
    for name, path in files.items():
        packed = load(path)
        problem = image_problem_of(packed, test.sigma)
        found = on_images(methods_of(packed, problem, seed, classic=not baselines), problem, pictures, seed)
        baselines = baselines or found["baselines"]
        networks.append({**found, "method": name, "bytes": path.stat().st_size, "baselines": None})
    published = [entry._asdict() for entry in test.published]
    title = {"test": test.title, "folder": test.folder, "count": len(pictures), "note": test.note}
    return {**title, "published": published, "networks": networks, "baselines": baselines}


def rows_of(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each method of each test; None where a figure is not known."""
    figures = ("method", "psnr_db", "psnr_db_of_mean_error", "ssim", "bytes", "milliseconds", "images_won", "source")
    kinds = {"published": "published", "baselines": "classic", "networks": "network"}
    return [
        {"test": result["test"], "kind": kind, **{name: row.get(name) for name in figures}}
        for result in results
        for part, kind in kinds.items()
        for row in result[part]
    ]


def print_test(result: Mapping[str, Any]) -> None:
    """The table of a test."""
    rows = [(row["method"], row["psnr_db"], None, None, row["bytes"], None) for row in result["published"]]
    for row in (*result["baselines"], *result["networks"]):
        figures = row["psnr_db"], row["psnr_db_of_mean_error"], row["ssim"]
        rows.append((row["method"], *figures, row.get("bytes"), row["milliseconds"]))
    columns = ("method", "PSNR (dB)", "PSNR of mean error", "SSIM", "bytes", "ms an image")
    notes = [f"{result['count']} images. {result['note']}".strip()]
    notes += [f"{row['method']}: {row['source']}" for row in result["published"]]
    print_table(result["test"], columns, rows, notes)


def figure_points(results: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Points with a size and levels without one, for ``psnr_against_bytes``."""
    points, levels = [], {}
    for result in results:
        for group, rows in (("one-bit priors", result["networks"]), ("published", result["published"])):
            for row in rows:
                if row["bytes"] is not None:
                    kept = {key: row[key] for key in ("method", "bytes", "psnr_db")}
                    points.append({**kept, "test": result["test"], "group": group})
        lowest = min(row["psnr_db"] for row in result["networks"]) - _SHOWN
        classic = [row for row in result["baselines"] if row["psnr_db"] >= lowest]  # the figure is of those near
        others = [row for row in result["published"] if row["bytes"] is None] + classic
        levels[result["test"]] = {row["method"]: row["psnr_db"] for row in others}
    return points, levels
