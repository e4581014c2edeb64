"""``unrollbit card FILE``: the model card of a packed network, with every figure measured when it is written."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unrollbit.cli.arguments import LARGEST_SEED, add_data, add_network, add_result, positive, seed_number
from unrollbit.cli.outputs import MARKDOWN, NETWORK_FILE, PNG, Output, Outputs

if TYPE_CHECKING:
    from unrollbit.packed import PackedNetwork

SAMPLES, SEEDS = 10_000, 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_network(parser, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="CARD.md", help="the card (default: beside the file, its name .md)")
    parser.add_argument("--seeds", type=positive, default=SEEDS, metavar="N", help=f"test sets (default {SEEDS})")
    parser.add_argument("--seed", type=seed_number, default=1, metavar="S", help="seed of the first one (default 1)")
    parser.add_argument(
        "--samples", type=positive, default=SAMPLES, metavar="M", help=f"signals of each (default {SAMPLES})"
    )
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="also show the network on the photographs of a folder, whole"
    )
    add_data(parser)
    add_result(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and write the card."""
    file = options.network / NETWORK_FILE if options.network.is_dir() else options.network
    out: Path = file.with_suffix(".md") if options.out is None else options.out
    outputs = Outputs(options.network, file)
    card, reports = outputs.file("--out", out, MARKDOWN), outputs.reports(options.json)
    page = None if options.images is None else outputs.file("--images", out.with_suffix(".png"), PNG)
    seeds = range(options.seed, options.seed + options.seeds)
    if seeds[-1] > LARGEST_SEED:
        raise ValueError(f"--seed {options.seed} --seeds {options.seeds}: seeds go up to {LARGEST_SEED}")
    from unrollbit.cli.card_figures import measure
    from unrollbit.cli.card_text import markdown
    from unrollbit.cli.networks import problem_of
    from unrollbit.packed import load

    packed = load(options.network)
    figures = measure(packed, problem_of(packed, data=options.data), seeds, options.samples)
    figures = {"network": file.name, **figures, "command": _command(file, options)}
    if page is not None:
        figures["photographs"] = _photographs(packed, options, page)
    card.write_text(markdown(figures))
    reports.write(figures)
    mean = figures["mean"]["nmse_db_mean_of_db"]
    print(f"{out}: {mean:.2f} dB mean of dB, {figures['bits']['bits_per_link']:.4g} stored bits per link")


def _photographs(packed: PackedNetwork, options: argparse.Namespace, page: Output) -> dict[str, Any]:
    from unrollbit.cli.card_images import images_text, measured_images
    from unrollbit.cli.picture_files import photographs_in

    found, figure = measured_images(packed, photographs_in(options.images), options.seed)
    page.write(lambda file: figure.savefig(file, format="png", dpi=150))
    found |= {"folder": options.images.name, "seed": options.seed}
    return found | {"text": images_text(found, page.path.name)}


def _command(file: Path, options: argparse.Namespace) -> str:
    """The command that makes this card where the file lies: options at their defaults left out."""
    words = ["unrollbit", "card", file.name, "--seeds", str(options.seeds), "--samples", str(options.samples)]
    words += [] if options.images is None else ["--images", options.images.name]
    return shlex.join(words if options.seed == 1 else [*words, "--seed", str(options.seed)])
