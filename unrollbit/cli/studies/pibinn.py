"""The claims of one-bit unrolling with structural sparsity (arXiv 2502.01908), each as an experiment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrollbit.cli.studies.experiment import Experiment, Row, run_all, slug
from unrollbit.cli.tables import print_table
from unrollbit.formats import Anchored, Format, FullPrecision, OneBit, Ternary
from unrollbit.plots import curves_of_depth, generalization_gaps, save

DEPTH, WIDTH = 8, 512
CLAIMS = ("bits", "depth", "gap", "data", "large")
BLOCKS = {"kind": "BlockSparseRecovery", "blocks": 8, "m": 32, "n": 64}
LARGE = {"kind": "BlockSparseRecovery", "blocks": 1024, "m": 32, "n": 64}
DATA: dict[str, dict[str, Any]] = {
    "image patches": {"kind": "SinglePixelCamera", "size": 16, "transform": "dct"},
    "EEG, ocular": {"kind": "EEGDenoising", "artefact": "ocular"},
    "EEG, muscle": {"kind": "EEGDenoising", "artefact": "muscle"},
}
DEPTHS, SIZES, TRAINING = (4, 8, 12, 16), (100, 500, 2000, 10_000, 50_000), 8192
RELU, ONE_BIT, TWO, FLOAT = "dense ReLU, float32", "one-bit", "one-bit, 2 planes, tied", "full precision"
_RATE, _LARGE_SIGNALS = 1e-2, 200
_NOTES = (
    "NMSE in dB, 10 log10(sum of errors / sum of energies), on training and on test signals, networks read back from",
    "their files; mean of dB: mean over test signals of each signal's. One seed. Equal depth; unrolled: 400 steps,",
    "dense ones 2,000 (they learn the physics too). Stored bits per link of a dense network of the same widths.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--claims", nargs="+", choices=CLAIMS, help="among them (default: all)")


def dense(weights: Format, quick: bool) -> dict[str, Any]:
    """The tables of a fully connected ReLU network."""
    network = {"kind": "FullyConnected", "depth": DEPTH, "width": WIDTH, "skip": True, "weights": weights.to_spec()}
    rates = {"matrices": 1e-3, "signs": 1e-3, "scales": 1e-3, "scalars": 1e-3}
    stage = {"steps": 60 if quick else 2000, "rates": rates, "batch": 64, "loss": {"kind": "LogNMSE"}}
    return {"network": network, "stages": [stage]}


def unrolled(name: str, quick: bool, depth: int = DEPTH, **options: Any) -> dict[str, Any]:
    """The table of a recipe."""
    return {"recipe": {"name": name, "depth": depth, "steps": 40 if quick else 400, **options}}


def learned(quick: bool, depth: int = DEPTH, weights: Format = OneBit()) -> dict[str, Any]:
    """One-bit (or ternary) matrices with the zeros of the physics, one per layer, signs learned."""
    return unrolled("learned_signs", quick, depth, sign_rate=_RATE, weights=weights.to_spec())


def designed(quick: bool, depth: int = DEPTH, planes: int = 1, distinct: int | None = None) -> dict[str, Any]:
    """Designed signs, trained further where untied."""
    ties = {} if distinct is None else {"distinct": distinct}
    return unrolled("designed_signs", quick, depth, planes=planes, sign_rate=_RATE, **ties)


def experiments(claims: Sequence[str], seed: int, quick: bool) -> list[Experiment]:
    """Every network of every claim."""
    found: list[Experiment] = []

    def add(
        claim: str, name: str, problem: dict[str, Any], tables: dict[str, Any], samples: int, **labels: Any
    ) -> None:
        config = {"samples": samples, "problem": {**problem, "seed": seed}, **tables}
        labels = {"claim": claim, "network": name, **labels}
        extra = "-".join(str(value) for key, value in labels.items() if key not in ("claim", "network"))
        found.append(Experiment(slug(f"{claim} {name} {extra}"), config, labels, seed))

    if "bits" in claims:
        networks = {
            RELU: dense(FullPrecision(), quick),
            "dense ReLU, ternary": dense(Ternary(), quick),
            "dense ReLU, one-bit by channel": dense(OneBit(scale="row"), quick),
            FLOAT: unrolled("full_precision", quick),
            "b1.58": learned(quick, weights=Ternary()),
            "one-bit by channel": learned(quick, weights=OneBit(scale="row")),
            ONE_BIT: designed(quick),
            TWO: designed(quick, planes=2, distinct=1),
        }
        for name, tables in networks.items():
            add("bits", name, BLOCKS, tables, TRAINING)
    if "depth" in claims:
        for depth in DEPTHS[:2] if quick else DEPTHS:
            for name, tables in {
                "one-bit, tied": designed(quick, depth, distinct=1),
                TWO: designed(quick, depth, planes=2, distinct=1),
                FLOAT: unrolled("full_precision", quick, depth),
            }.items():
                add("depth", name, BLOCKS, tables, TRAINING, layers=depth)
    if "gap" in claims:
        for size in SIZES[:2] if quick else SIZES:
            for name, tables in {
                ONE_BIT: learned(quick),
                FLOAT: unrolled("full_precision", quick),
                RELU: dense(FullPrecision(), quick),
            }.items():
                add("gap", name, BLOCKS, tables, size, size=size)
    if "data" in claims:
        for data, problem in DATA.items():
            plane = (OneBit() if data == "image patches" else Anchored(OneBit())).to_spec()
            for name, tables in {
                RELU: dense(FullPrecision(), quick),
                "W = A": unrolled("scalars_only", quick, weights="Fixed"),
                FLOAT: unrolled("full_precision", quick, distinct=1),
                ONE_BIT: unrolled("two_stage", quick, distinct=1, sign_rate=3e-3, weights=plane),
            }.items():
                add("data", name, problem, tables, TRAINING, data=data)
    if "large" in claims:
        tables = learned(quick)
        tables["recipe"] |= {"batch": 8, "steps": 10 if quick else 200}
        add("large", ONE_BIT, {**LARGE, "blocks": 64} if quick else LARGE, tables, 512)
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, print a table per claim with its verdict, draw the figures."""
    claims = [claim for claim in CLAIMS if claim in (options.claims or CLAIMS)]
    planned = experiments(claims, options.seed, options.quick)
    rows = []
    for signals, large in ((2000, False), (_LARGE_SIGNALS, True)):  # estimates of all layers fill the memory
        part = [experiment for experiment in planned if (experiment.labels["claim"] == "large") is large]
        rows += run_all(part, out, signals=signals, workers=options.workers)
    verdicts = {}
    for claim in claims:
        own = [row for row in rows if row["claim"] == claim]
        _show(claim, own)
        verdicts[claim] = VERDICTS[claim](own)
        print(f"({CLAIMS.index(claim) + 1}) {verdicts[claim]}\n")
        if claim == "depth":
            save(curves_of_depth(_by_depth(own), ylabel="NMSE (dB)"), out / "figures" / "depth")
        if claim == "gap":
            save(generalization_gaps(_by_size(own)), out / "figures" / "gap")
    return {"rows": rows, "verdicts": verdicts}


def _show(claim: str, rows: Sequence[Row]) -> None:
    extra = {"depth": "layers", "gap": "size", "data": "data"}.get(claim)
    columns = (
        "network",
        *([extra] if extra else []),
        "bits/link",
        "training",
        "test",
        "mean of dB",
        "file, bytes",
        "s",
    )
    lines = [
        (
            row["network"],
            *([row[extra]] if extra else []),
            row["bits_per_link"],
            row["training"]["nmse_db"],
            row["nmse_db"],
            row["nmse_db_mean_of_db"],
            row["file_bits"] // 8,
            row["seconds"],
        )
        for row in rows
    ]
    print_table(f"arXiv 2502.01908, claim: {claim}", columns, lines, _NOTES)


def _level(rows: Sequence[Row], name: str, key: str = "nmse_db_mean_of_db") -> float:
    return next(row[key] for row in rows if row["network"] == name)


def _bits(rows: Sequence[Row]) -> str:
    """Far fewer bits than 1 and 1.58 with lower errors than dense, ternary and channel-wise networks."""
    ours = [row for row in rows if row["network"] in (ONE_BIT, TWO)]
    others = [row for row in rows if row["network"] not in (ONE_BIT, TWO, FLOAT)]
    key = "nmse_db_mean_of_db"
    best, rival = min(ours, key=lambda row: row[key]), min(others, key=lambda row: row[key])
    fewer = all(row["bits_per_link"] < 1 for row in ours)
    beats = best[key] < rival[key]
    verdict = "confirmed" if fewer and beats else "partly" if fewer or beats else "not"
    return (
        f"{verdict}: {best['network']} {best[key]:.1f} dB at {best['bits_per_link']:.3f} bits per link, best rival "
        f"{rival['network']} {rival[key]:.1f} dB at {rival['bits_per_link']:.3f}; full precision "
        f"{_level(rows, FLOAT):.1f} dB at {_level(rows, FLOAT, 'bits_per_link'):.2f}"
    )


def _depth(rows: Sequence[Row]) -> str:
    """Each network better on training and test signals with every added layer while bits per link fall."""
    words = []
    holds = []
    for name in dict.fromkeys(row["network"] for row in rows if row["network"] != FLOAT):
        own = sorted((row for row in rows if row["network"] == name), key=lambda row: row["layers"])
        test = [row["nmse_db"] for row in own]
        training = [row["training"]["nmse_db"] for row in own]
        bits = [row["bits_per_link"] for row in own]
        holds.append(all((np.diff(values) < 0).all() for values in (test, training, bits)))
        words.append(f"{name}: {', '.join(f'{level:.1f}' for level in test)} dB, {bits[0]:.3f} to {bits[-1]:.3f} bits")
    verdict = "confirmed" if all(holds) else "partly" if any(holds) else "not"
    return f"{verdict}: on test signals {'; '.join(words)}"


def _gap(rows: Sequence[Row]) -> str:
    """The difference of test and training NMSE is smaller than the dense network's at every size."""
    gaps = {name: curve["test"] - curve["training"] for name, curve in _by_size(rows).items()}
    smaller = gaps[ONE_BIT] < gaps[RELU]
    verdict = "confirmed" if smaller.all() else "partly" if smaller.any() else "not"
    words = [f"{name} {', '.join(f'{gap:.1f}' for gap in values)} dB" for name, values in gaps.items()]
    return f"{verdict}: test minus training NMSE with more and more signals: {'; '.join(words)}"


def _data(rows: Sequence[Row]) -> str:
    """One bit no worse than the dense network on real data, at fewer bits."""
    words, holds = [], []
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        one, relu, full = (_level(own, name, "nmse_db") for name in (ONE_BIT, RELU, FLOAT))
        holds.append(one <= relu)
        words.append(f"{data}: {one:.1f} dB against {relu:.1f} (dense ReLU) and {full:.1f} (full precision)")
    verdict = "confirmed" if all(holds) else "partly" if any(holds) else "not"
    return f"{verdict}: {'; '.join(words)}"


def _large(rows: Sequence[Row]) -> str:
    """About a bit per block entry: 1/1024 bits per link; 99.9 % fewer parameters than dense."""
    (row,) = rows
    cut = 1 - row["weight_bits"] / row["links"]
    better = row["nmse_db"] < row["before"]["nmse_db"] - 1
    verdict = "confirmed" if cut >= 0.999 and better else "partly" if cut >= 0.999 else "not"
    return (
        f"{verdict}: {row['config']['problem']['blocks'] * 64:,} unknowns, {row['bits_per_link']:.6f} bits per link "
        f"({1 / row['bits_per_link']:.0f} links a bit), {100 * cut:.3f} % fewer weights than dense, "
        f"{row['before']['nmse_db']:.1f} dB before and {row['nmse_db']:.1f} dB after {row['seconds']:.0f} s of training"
    )


VERDICTS = {"bits": _bits, "depth": _depth, "gap": _gap, "data": _data, "large": _large}


def _by_depth(rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    return _curves(rows, "layers", "depth")


def _by_size(rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    return _curves(rows, "size", "size")


def _curves(rows: Sequence[Row], label: str, name: str) -> dict[str, dict[str, np.ndarray]]:
    curves = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        own = sorted((row for row in rows if row["network"] == network), key=lambda row: row[label])
        curves[network] = {
            name: np.array([row[label] for row in own]),
            "training": np.array([row["training"]["nmse_db"] for row in own]),
            "test": np.array([row["nmse_db"] for row in own]),
            "bits": np.array([row["bits_per_link"] for row in own]),
        }
    return curves
