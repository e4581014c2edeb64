"""``unrollbit evaluate RUN|FILE``: accuracy per layer on fresh test signals, beside other methods."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import add_common, add_data, add_network, positive
from unrollbit.cli.changes import changes_text, parse_changes
from unrollbit.cli.outputs import Outputs
from unrollbit.cli.tables import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser)
    parser.add_argument(
        "--samples", type=positive, default=10_000, metavar="M", help="fresh test signals (default 10000)"
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="apply a network for images to all photographs of a folder, of any sizes, measured as its problem says",
    )
    parser.add_argument(
        "--sigma",
        type=float,
        metavar="S",
        help="with --images: Gaussian noise of this standard deviation (of pixels in [0, 1]) in place of the problem's",
    )
    parser.add_argument("--no-classic", action="store_true", help="skip the other methods")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        dest="changes",
        help="evaluate on a changed problem: fields and TOML values, such as sparsity=0.15 or snr_db=15; none removes "
        "a field. Only what leaves A as it is",
    )
    parser.add_argument(
        "--refine", action="store_true", help="also repeat the last layers for signals that have not settled"
    )
    add_data(parser)
    add_common(parser, out="folder for evaluate.json and the figure of NMSE per layer", seed=1)


def run(options: argparse.Namespace) -> None:
    """Evaluate, print, plot."""
    if options.images is not None:
        _run_images(options)
        return
    if options.sigma is not None:
        raise ValueError("--sigma: expected --images with it; other problems take --set snr_db=...")
    changes = parse_changes(options.changes)
    reports = Outputs(options.network).reports(options.json, options.out, "evaluate.json")
    from unrollbit.cli.accuracy import accuracy, check_refinable, classic_solvers, draw_test, refined_accuracy
    from unrollbit.cli.beside import COLUMNS, beside, cells, verdict
    from unrollbit.cli.networks import problem_of
    from unrollbit.cli.telling import telling
    from unrollbit.packed import load

    packed = load(options.network)
    if options.refine:
        check_refinable(packed.network)
    problem = problem_of(packed, changes, options.data)
    x, y, note = draw_test(problem, options.seed, options.samples)
    figures = accuracy(packed.network, problem, x, y)
    bits = packed.bits()
    result: dict[str, Any] = {"network": str(options.network), "samples": len(x), "seed": options.seed}
    result |= {"changed": changes, **figures}
    result |= {name: getattr(bits, name) for name in ("bits_per_link", "resident_bits_per_link", "file_bits_per_link")}
    depth = packed.network.depth
    if options.refine:
        result["refined"] = refined_accuracy(packed.network, problem, x, y)
    with telling() as tell:
        classic = [] if options.no_classic else classic_solvers(problem, x, y, depth, options.seed, tell)
        result["classic"] = classic
        others = [] if options.no_classic else beside(packed, problem, x, y, options.seed, tell)
        result |= {"baselines": others, "said": verdict(others) if others else None}
    reports.write(result)
    if options.out is not None and figures["nmse_db_per_layer"]:
        from unrollbit.plots import nmse_per_layer, save

        curves = {"network": figures["nmse_db_per_layer"]}
        curves |= {row["method"]: row["nmse_db_per_layer"] for row in result["classic"] if row["nmse_db_per_layer"]}
        save(nmse_per_layer(curves), options.out / "nmse_per_layer")
    rows = [("this network", depth, *_columns(figures))]
    if options.refine:
        rows.append(("last layers repeated (mean)", result["refined"]["layers_mean"], *_columns(result["refined"])))
    rows += [(row["method"], row["iterations"], *_columns(row)) for row in result["classic"]]
    columns = ("method", "layers", "NMSE (dB)", "mean of dB", "failures")
    notes = [
        f"{len(x)} test signals{note}. NMSE: 10 log10(sum of errors / sum of energies); mean of dB: mean over signals;",
        "failures: share of signals worse than -20 dB. The converged solver runs on evenly spread signals, about 250.",
    ]
    if changes:
        notes.append(f"Changed problem: {changes_text(changes)}. Classic solvers are tuned on it, the network is not.")
    print_table(str(options.network), columns, rows, notes)
    if others:
        said = [result["said"], "Parameters are tuned on validation signals; ms: one signal alone."]
        print_table("what one would use instead", COLUMNS, [cells(row) for row in others], said)
    for k, level in enumerate(figures["nmse_db_per_layer"] or [], start=1):
        print(f"layer {k:3d}: {level:8.2f} dB (mean of dB {figures['nmse_db_mean_of_db_per_layer'][k - 1]:8.2f})")


def _run_images(options: argparse.Namespace) -> None:
    """Photographs of a folder."""
    if options.refine or options.changes:
        raise ValueError("--images: photographs are measured as in training; leave --refine and --set out")
    reports = Outputs(options.network).reports(options.json, options.out, "evaluate.json")
    from unrollbit.cli.evaluate_images import methods_of, on_images
    from unrollbit.cli.picture_files import photographs_in
    from unrollbit.cli.telling import telling
    from unrollbit.packed import load
    from unrollbit.problems.recovery import image_problem_of

    pictures = photographs_in(options.images)
    packed = load(options.network)
    problem = image_problem_of(packed, options.sigma)
    with telling() as tell:
        methods = methods_of(packed, problem, options.seed, classic=not options.no_classic, tell=tell)
        found = on_images(methods, problem, pictures, options.seed, tell)
    reports.write(
        {
            "network": str(options.network),
            "folder": options.images.name,
            "seed": options.seed,
            "sigma": options.sigma,
            **found,
        }
    )
    names = ("psnr_db", "psnr_db_of_mean_error", "ssim", "milliseconds")
    rows = [("this network", *(found[name] for name in names), None)]
    rows += [(row["method"], *(row[name] for name in names), row["images_won"]) for row in found["baselines"]]
    columns = ("method", "PSNR (dB)", "PSNR of mean error", "SSIM", "ms an image", "images won")
    notes = [
        f"{len(pictures)} photographs of {options.images}. PSNR: mean of each one's, estimates clipped to [0, 1];",
        "images won: how many the network recovers with a higher PSNR. Weights are tuned on other photographs.",
        "linear estimate: what the physics offers without a prior, its (pseudo-)inverse or A^T y.",
    ]
    print_table(str(options.network), columns, rows, notes)


def _columns(figures: dict[str, Any]) -> tuple[float, float, float]:
    return figures["nmse_db"], figures["nmse_db_mean_of_db"], figures["failures"]
