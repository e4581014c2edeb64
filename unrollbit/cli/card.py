"""``unrollbit card FILE``: the model card of a packed network, with every figure measured when it is written."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from unrollbit.cli.arguments import LARGEST_SEED, add_data, add_json, add_network, positive, seed_number
from unrollbit.cli.outputs import MARKDOWN, NETWORK_FILE, Outputs

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
    add_data(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Measure and write the card."""
    file = options.network / NETWORK_FILE if options.network.is_dir() else options.network
    out: Path = file.with_suffix(".md") if options.out is None else options.out
    outputs = Outputs(options.network, file)
    card, reports = outputs.file("--out", out, MARKDOWN), outputs.reports(options.json)
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
    card.write_text(markdown(figures))
    reports.write(figures)
    mean = figures["mean"]["nmse_db_mean_of_db"]
    print(f"{out}: {mean:.2f} dB mean of dB, {figures['bits']['bits_per_link']:.4g} stored bits per link")


def _command(file: Path, options: argparse.Namespace) -> str:
    """The command that makes this card where the file lies: options at their defaults left out."""
    words = ["unrollbit", "card", file.name, "--seeds", str(options.seeds), "--samples", str(options.samples)]
    return shlex.join(words if options.seed == 1 else [*words, "--seed", str(options.seed)])
