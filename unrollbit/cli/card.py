"""``unrollbit card FILE``: the model card of a packed network, with every figure measured when it is written."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.console import Console
from rich.progress import track

from unrollbit.cli.card_facts import describe, read_problem, read_training
from unrollbit.cli.card_text import markdown
from unrollbit.cli.common import (
    LARGEST_SEED,
    NETWORK_FILE,
    open_network,
    positive,
    problem_of,
    seed_number,
    write_json,
    write_text,
)
from unrollbit.cli.evaluate import accuracy, draw_test
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem

SAMPLES, SEEDS = 10_000, 5
PER_LAYER = ("nmse_db_per_layer", "nmse_db_mean_of_db_per_layer")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("network", type=Path, metavar="FILE", help="packed network (or run folder)")
    parser.add_argument("--out", type=Path, metavar="CARD.md", help="the card (default: beside the file, its name .md)")
    parser.add_argument("--seeds", type=positive, default=SEEDS, metavar="N", help=f"test sets (default {SEEDS})")
    parser.add_argument("--seed", type=seed_number, default=1, metavar="S", help="seed of the first one (default 1)")
    parser.add_argument(
        "--samples", type=positive, default=SAMPLES, metavar="M", help=f"signals of each (default {SAMPLES})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures as JSON")


def run(options: argparse.Namespace) -> None:
    """Measure and write the card."""
    file = options.network / NETWORK_FILE if options.network.is_dir() else options.network
    out: Path = file.with_suffix(".md") if options.out is None else options.out
    if out.is_dir():
        raise ValueError(
            f"{out} is a folder; expected the path of the card, such as {out / file.with_suffix('.md').name}"
        )
    if out.resolve() == file.resolve():
        raise ValueError(f"{out} is the network itself; write the card to another path")
    seeds = range(options.seed, options.seed + options.seeds)
    if seeds[-1] > LARGEST_SEED:
        raise ValueError(f"--seed {options.seed} --seeds {options.seeds}: seeds go up to {LARGEST_SEED}")
    packed = open_network(options.network)
    figures = measure(packed, problem_of(packed), seeds, options.samples)
    figures = {"network": file.name, **figures, "command": _command(file, options)}
    write_text(out, markdown(figures))
    write_json(options.json, figures)
    mean = figures["mean"]["nmse_db_mean_of_db"]
    print(f"{out}: {mean:.2f} dB mean of dB, {figures['bits']['bits_per_link']:.4g} stored bits per link")


def measure(packed: PackedNetwork, problem: Problem, seeds: Sequence[int], samples: int) -> dict[str, Any]:
    """All figures of a card: facts of the file, accuracy on the test signals of every seed, bits.

    A problem of data has one test set, so that more seeds would show the same signals: only the first is run.
    """
    fixed = problem.split("test").all() is not None
    rows: list[dict[str, Any]] = []
    used = seeds[:1] if fixed else seeds
    first: dict[str, Any] = {}
    count, note = 0, ""
    for seed in track(used, "measuring", console=Console(stderr=True)):
        x, y, note = draw_test(problem, seed, samples)
        figures = accuracy(packed.network, problem, x, y)
        count, first = len(x), first or figures
        rows.append({"seed": seed} | {name: value for name, value in figures.items() if name not in PER_LAYER})
    names = [name for name in rows[0] if name != "seed"]
    columns = {name: [row[name] for row in rows] for name in names}
    m, n = packed.network.operator.shape
    bits = packed.bits()
    return {
        **describe(packed),
        "problem": read_problem(packed, problem),
        "training": read_training(packed),
        "samples": count,
        "one_test_set": fixed,
        "drawn_from": note.strip(),
        "seeds": rows,
        "mean": {name: sum(values) / len(values) for name, values in columns.items()},
        "spread": {name: max(values) - min(values) for name, values in columns.items()},
        **{name: first[name] for name in PER_LAYER},
        "bits": bits.to_dict() | {"resident_bits_per_entry": bits.resident_bits / (m * n)},
        "file_bytes": None if bits.file_bits is None else bits.file_bits // 8,
        "device": jax.default_backend(),
        "jax": jax.__version__,
    }


def _command(file: Path, options: argparse.Namespace) -> str:
    """The command that makes this card where the file lies: options at their defaults left out."""
    words = ["unrollbit", "card", file.name, "--seeds", str(options.seeds), "--samples", str(options.samples)]
    return shlex.join(words if options.seed == 1 else [*words, "--seed", str(options.seed)])
