"""Every weight format of the field at equal depth and training: which one to take at so many bits per link."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unrollbit.cli.arguments import positive
from unrollbit.cli.outputs import NETWORK_FILE
from unrollbit.cli.studies.experiment import TEST_SEED, Experiment, Row, run_all, slug, without_configs
from unrollbit.cli.studies.networks import one_bit_network
from unrollbit.cli.studies.timing import milliseconds_per_signal
from unrollbit.cli.tables import print_table
from unrollbit.formats import BitNet, Format, LittleBit, OneBit, OneBitSVID, Ternary
from unrollbit.plots import quality_at_bits, save

DEPTH = 12
FLOAT, NOTHING = "full precision", "W = A"
ONE_BIT, DESIGNED = "one-bit, sign(A)", "one-bit, designed signs"

PROBLEMS: dict[str, dict[str, Any]] = {
    "sparse": {"kind": "SparseRecovery", "m": 384, "n": 768},
    "blocks": {"kind": "BlockSparseRecovery", "blocks": 8, "m": 32, "n": 64},
    "patches": {"kind": "SinglePixelCamera", "size": 16, "transform": "dct"},
}
TITLES = {
    "sparse": "sparse recovery (384, 768)",
    "blocks": "8 blocks of (32, 64)",
    "patches": "image patches (64, 256)",
}
_STEPS = {"sparse": 200, "blocks": 400, "patches": 200}
_SIGN_RATES = {"sparse": 3e-3, "blocks": 1e-2, "patches": 1e-2}
_RANKS = {"sparse": 8, "blocks": 1, "patches": 4}  # LittleBit's rank is a multiple of it: 8 where the matrix is large
_NOTES = (
    "Stored bits per link of the file's network; NMSE in dB before training and after: mean over signals of each",
    "signal's, averaged over seeds of physics, start and training (spread: largest - smallest); ratio of sums; PSNR",
    "where signals are images. failures: share of signals worse than -20 dB. ms: time per recovery in batches of 64,",
    "from the packed file, one thread. Equal depth, steps, rates and loss for all; signs move at the same rate.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--seeds", type=positive, default=None, metavar="N", help="seeds per network (3; quick: 1)")
    parser.add_argument("--problems", nargs="+", choices=sorted(PROBLEMS), help="among them (default: all)")


def networks(problem: str, steps: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Format and recipe of every network, by name.

    Where copies are tied or cycled, the same matrices serve several layers: the cheapest way below one bit.
    """
    rate, multiple = _SIGN_RATES[problem], _RANKS[problem]

    def learned(distinct: int, weights: Format) -> dict[str, Any]:
        recipe = {"name": "learned_signs", "depth": DEPTH, "steps": steps, "sign_rate": rate}
        recipe["weights"] = weights.to_spec()
        return recipe | ({} if distinct == DEPTH else {"distinct": distinct})

    found: dict[str, tuple[str, dict[str, Any]]] = {}
    large = problem == "sparse"  # where a rate of 0.7 has rivals: fewer matrices of one or 1.6 bits
    for distinct in (1, 8, DEPTH) if large else (1, DEPTH):
        found[f"{ONE_BIT}, {_ties(distinct)}"] = ONE_BIT, learned(distinct, OneBit())
    found[f"{ONE_BIT}, 2 planes, tied"] = ONE_BIT, learned(1, OneBit(planes=2))
    for distinct in (1, DEPTH):
        found[f"BitNet, {_ties(distinct)}"] = "BitNet", learned(distinct, BitNet())
        found[f"OneBit, {_ties(distinct)}"] = "OneBit (value vectors)", learned(distinct, OneBitSVID())
    for distinct in (1, 5, DEPTH) if large else (1, DEPTH):
        found[f"b1.58, {_ties(distinct)}"] = "BitNet b1.58", learned(distinct, Ternary())
    for bits in _little_bit_rates(problem):
        weights = LittleBit(bits, rotate=True, multiple=multiple, turns=True)
        found[f"LittleBit {bits:g}, untied"] = "LittleBit", learned(DEPTH, weights)
    densest = max(_little_bit_rates(problem))
    weights = LittleBit(densest, rotate=True, multiple=multiple)
    if large:
        found[f"LittleBit {densest:g}, tied"] = "LittleBit", learned(1, weights)
    if problem != "blocks":  # two paths of small blocks spend 1.6 bits on rank 1
        residual = learned(DEPTH, replace(weights, turns=True, residual=True))
        found[f"LittleBit {densest:g} with residual, untied"] = "LittleBit, residual", residual
    if problem != "patches":  # signs are designed for maps of the shape of A
        for planes, distinct in ((1, 1), (2, 1), (1, DEPTH)):
            config = one_bit_network(
                DEPTH, steps, planes=planes, distinct=None if distinct == DEPTH else 1, sign_rate=rate
            )
            found[f"{DESIGNED}, {planes} plane{'s' * (planes > 1)}, {_ties(distinct)}"] = DESIGNED, config
    for distinct in (1, DEPTH):
        config = {"name": "full_precision", "depth": DEPTH, "steps": steps}
        found[f"{FLOAT}, {_ties(distinct)}"] = FLOAT, config | ({} if distinct == DEPTH else {"distinct": 1})
    fixed = {"name": "scalars_only", "depth": DEPTH, "steps": steps, "weights": "Fixed"}
    found[NOTHING] = NOTHING, fixed
    return found


def _little_bit_rates(problem: str) -> tuple[float, ...]:
    """Targets that the problem's matrices can meet; small ones spend most bits on their scales."""
    return {"sparse": (0.1, 0.3, 0.55, 1.0), "blocks": (0.9, 1.5), "patches": (0.55, 1.0)}[problem]


def _ties(distinct: int) -> str:
    return {1: "tied", DEPTH: "untied"}.get(distinct, f"{distinct} matrices")


def experiments(
    first_seed: int, seeds: int, quick: bool, problems: Sequence[str] = tuple(PROBLEMS)
) -> list[Experiment]:
    """Every network on every problem with every seed; the physics, the start and the training follow the seed."""
    found = []
    for problem in problems:
        steps = 60 if quick else _STEPS[problem]
        for name, (format_, recipe) in networks(problem, steps).items():
            if quick and not any(word in name for word in ("untied", NOTHING)):
                continue
            for seed in range(first_seed, first_seed + seeds):
                own = {**recipe, "seed": seed} if recipe["name"] == "designed_signs" else recipe
                config = {"problem": {**PROBLEMS[problem], "seed": seed}, "recipe": own}
                labels = {"problem": problem, "network": name, "format": format_}
                found.append(Experiment(slug(f"{problem} {name}"), config, labels, seed))
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, time, print the tables, draw the figure."""
    seeds = options.seeds or (1 if options.quick else 3)
    problems = [name for name in PROBLEMS if name in (options.problems or PROBLEMS)]
    planned = experiments(options.seed, seeds, options.quick, problems)
    rows = run_all(planned, out, signals=1000 if options.quick else 2000, workers=options.workers)
    table = summarise(rows)
    for problem in problems:
        own = [line for line in table if line["problem"] == problem]
        files = {
            line["network"]: out
            / "networks"
            / slug(f"{problem} {line['network']}")
            / f"seed{options.seed}"
            / NETWORK_FILE
            for line in own
        }
        times = milliseconds_per_signal(files, TEST_SEED)
        for line in own:
            line["milliseconds"] = times[line["network"]]
        show(problem, own)
    save(draw(table), out / "figures" / "formats")
    return {"rows": without_configs(rows), "table": table, "seeds": seeds}


def summarise(rows: list[Row]) -> list[dict[str, Any]]:
    """Means and spreads over seeds."""
    table = []
    for problem, name in dict.fromkeys((row["problem"], row["network"]) for row in rows):
        own = [row for row in rows if (row["problem"], row["network"]) == (problem, name)]
        levels = np.array([row["nmse_db_mean_of_db"] for row in own])
        line = {"problem": problem, "network": name, "format": own[0]["format"], "levels": levels.tolist()}
        line |= {"mean": float(levels.mean()), "spread": float(np.ptp(levels))}
        keys = ("nmse_db", "failures", "bits_per_link", "untrained", "seconds")
        line |= {key: float(np.mean([row[key] for row in own])) for key in keys}
        line["file_bytes"] = round(float(np.mean([row["file_bits"] for row in own])) / 8)
        if "psnr_db" in own[0]:
            line["psnr_db"] = float(np.mean([row["psnr_db"] for row in own]))
        table.append(line)
    return table


def show(problem: str, table: list[dict[str, Any]]) -> None:
    """The table of one problem, by bits."""
    columns = ("network", "bits/link", "before", "mean of dB", "spread", "NMSE (dB)", "failures", "file, bytes", "ms")
    keys = ("bits_per_link", "untrained", "mean", "spread", "nmse_db", "failures", "file_bytes", "milliseconds")
    if "psnr_db" in table[0]:
        columns, keys = (*columns, "PSNR (dB)"), (*keys, "psnr_db")
    lines = sorted(table, key=lambda line: line["bits_per_link"])
    print_table(
        f"Formats: {TITLES[problem]}",
        columns,
        [(line["network"], *(line[key] for key in keys)) for line in lines],
        _NOTES,
    )


def draw(table: list[dict[str, Any]]) -> Any:
    """Quality against stored bits, all formats; W = A and full precision as levels."""
    points = [
        {
            "problem": TITLES[line["problem"]],
            "format": line["format"],
            "bits": line["bits_per_link"],
            "mean": line["mean"],
            "low": min(line["levels"]),
            "high": max(line["levels"]),
        }
        for line in table
        if line["format"] not in (FLOAT, NOTHING)
    ]
    levels: dict[str, dict[str, float]] = {}
    for line in table:
        if line["format"] in (FLOAT, NOTHING):
            own = levels.setdefault(TITLES[line["problem"]], {})
            own[line["format"]] = min(line["mean"], own.get(line["format"], np.inf))
    return quality_at_bits(points, levels)
