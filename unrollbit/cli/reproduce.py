"""``unrollbit reproduce STUDY``: a published table or figure, or one of our own, trained from nothing."""

from __future__ import annotations

import argparse
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from unrollbit.cli.arguments import LazyParser, add_common, add_import, positive
from unrollbit.cli.outputs import REPORT_FILE, Outputs
from unrollbit.cli.parallel import DEFAULT_WORKERS

STUDIES = {
    "open-l2o": "the Open-L2O sparse-recovery benchmark: published, full-precision and one-bit networks of 16 layers",
    "all-signs": "Gaussian A replaced by 1 to 8 sign planes inside the network: NMSE against resident bits per entry",
    "depth": "one-bit networks of 4 to 64 layers: NMSE on training and test signals, failures, bits",
    "ablation": "one change at a time to the one-bit network of 16 layers: what each ingredient brings, three seeds",
    "robustness": "trained networks on other sparsity and more noise than they were trained for",
    "hard-signals": "which signals trained networks miss, and what repeating the last layers makes of them",
    "theory": "every theorem on 200 random and 23 trained networks: applicable, vacuous, violated, tightness",
    "statements": "what can be said of each packed network: every theorem by family, error bars, time of certificates",
    "formats": "BitNet, b1.58, OneBit, LittleBit and one-bit unrolling at equal depth and training, three problems",
    "physics": (
        "blur, low resolution, missing pixels, tomography, resonance, spikes: one-bit FISTA, gradient descent and ADMM "
        "against full precision and the classic solvers"
    ),
    "images": "Set11, BSD68 and brain slices: networks of the shelf beside published figures; PSNR, SSIM and bytes",
    "language": "a small language model in BitNet, b1.58, OneBit and LittleBit: perplexity and file against bits",
    "denoiser": "a residual convolutional denoiser in each format, beside learned filter priors: PSNR against bytes",
    "own": "nine problems of a user's own, from data to packed file: networks beside what one would use instead",
    "pibinn": "the claims of arXiv 2502.01908 as experiments: bits, depth, generalization, real data, 65,536 unknowns",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per study."""
    parser.epilog = (
        "Every study takes --quick, --workers, --seed, --out and --json; see unrollbit reproduce STUDY --help."
    )
    studies = parser.add_subparsers(dest="study", metavar="STUDY", required=True, parser_class=LazyParser)
    for name, summary in STUDIES.items():
        described = summary[0].upper() + summary[1:] + "."
        studies.add_parser(name, help=summary, description=described, fill=partial(_fill, name))


def _fill(name: str, parser: argparse.ArgumentParser) -> None:
    """The arguments of a study: those of all, and its own."""
    parser.add_argument("--quick", action="store_true", help="a few minutes: fewer networks, steps and signals")
    parser.add_argument(
        "--workers",
        type=positive,
        default=DEFAULT_WORKERS,
        help="trainings side by side (default: one a core, up to 4)",
    )
    add_common(parser, out=f"folder of networks, tables and figures (default runs/{name}, quick runs/{name}-quick)")
    add_import(parser)
    _module(name).add_arguments(parser)


def run(options: argparse.Namespace) -> None:
    """Run a study; what its folder holds already is kept."""
    out: Path = options.out or Path("runs") / (options.study + "-quick" * options.quick)
    reports = Outputs(*getattr(options, "networks", ())).reports(options.json, out)
    begun = time.perf_counter()
    result = _module(options.study).run(options, out)
    result = {"study": options.study, "seed": options.seed, "quick": options.quick, **result}
    result["seconds"] = time.perf_counter() - begun
    reports.write(result)
    print(f"{result['seconds']:.0f} s. Report: {out / REPORT_FILE}; figures: {out / 'figures'}")


def _module(name: str) -> Any:
    return import_module(f"unrollbit.cli.studies.{name.replace('-', '_')}")
