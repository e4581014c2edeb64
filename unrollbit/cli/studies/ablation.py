"""Which ingredient brings how many dB: one change at a time, three seeds each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from unrollbit.cli.arguments import positive
from unrollbit.cli.studies.experiment import Experiment, Row, run_all, slug, without_configs
from unrollbit.cli.tables import print_table
from unrollbit.formats import (
    Anchored,
    Clipped,
    Designed,
    Fixed,
    FullPrecision,
    Normalised,
    OneBit,
    SmoothSign,
    TanhSign,
)
from unrollbit.plots import differences, save
from unrollbit.training import grown

DEPTH = 16
PROBLEM = {"kind": "SparseRecovery", "m": 256, "n": 512}
BASE = "one plane, untied (reference)"
_RATES = {"scalars": 1e-2, "scales": 1e-3, "signs": 1e-3}
_DESIGNED = Normalised(Designed(OneBit(scale="none")))
_LEARNED = Normalised(OneBit(scale="none"))
_CELL: dict[str, Any] = {"kind": "AMP", "shrinkage": {"kind": "BernoulliGaussian", "sparsity": 0.1}}
_NOTES = (
    "mean of dB: mean over test signals of the per-signal NMSE, averaged over seeds of A, signs and training (spread:",
    "largest - smallest); change: against the reference of the same seeds, negative is better. NMSE: ratio of sums.",
    "Every row trains for the same number of steps.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument("--seeds", type=positive, default=None, metavar="N", help="seeds per row (3; quick: 1)")


def variants() -> dict[str, dict[str, dict[str, Any]]]:
    """By ingredient: variant -> what it changes (weights, algorithm, rates, distinct, grown, first, loss)."""
    shrinkages = {"firm": {"kind": "Firm"}, "support selection": {"kind": "SupportSelection"}, "soft": {"kind": "Soft"}}
    surrogates = {
        "clipped straight-through": Clipped(1.0),
        "smooth sign": SmoothSign(2.0, relative=True),
        "tanh sign": TanhSign(),
    }
    fixed = {"scalars": 1e-2}
    # without the normalisation by A, which is a scale per column that stores nothing
    scaled = {name: Designed(OneBit(scale=name)) for name in ("global", "layer", "row", "column")}
    two, four = (Normalised(Designed(OneBit(planes=planes, scale="global"))) for planes in (2, 4))
    anchored = Normalised(Anchored(Designed(OneBit(scale="global"))))
    return {
        "": {BASE: {}},
        "bits": {
            "tied": {"distinct": 1, "rates": fixed},
            "2 matrices cycled": {"distinct": 2, "rates": fixed},
            "2 planes, tied": {"weights": two, "distinct": 1, "rates": {**fixed, "scales": 1e-3}},
            "4 planes, tied": {"weights": four, "distinct": 1, "rates": {**fixed, "scales": 1e-3}},
            "A + 1 plane, untied": {"weights": anchored},
            "W = A": {"weights": Normalised(Fixed()), "distinct": 1, "rates": fixed},
            "full precision, untied": {
                "weights": Normalised(FullPrecision()),
                "rates": {**fixed, "matrices": 1e-3},
            },
        },
        "scale": {f"learned scale, {name}": {"weights": weights} for name, weights in scaled.items()},
        "signs": {
            "designed, not learned": {"rates": fixed},
            "learned from sign(A)": {"weights": _LEARNED},
            "learned from sign(A), rate 1e-2": {"weights": _LEARNED, "rates": {**_RATES, "signs": 1e-2}},
            "two stages: full precision first": {"weights": _LEARNED, "first": 0.6},
        },
        "surrogate": {
            name: {"weights": Normalised(Designed(OneBit(scale="none", surrogate=surrogate)))}
            for name, surrogate in surrogates.items()
        },
        "memory": {
            "no memory": {"algorithm": {**_CELL, "onsager": "none"}},
            "no memory, no momentum": {"algorithm": {**_CELL, "onsager": "none", "momentum": False}},
            "no momentum": {"algorithm": {**_CELL, "momentum": False}},
            "computed Onsager term": {"algorithm": {**_CELL, "onsager": "computed"}},
        },
        "shrinkage": {name: {"algorithm": {**_CELL, "shrinkage": spec}} for name, spec in shrinkages.items()},
        "training": {
            "all layers from the start": {"grown": False},
            "loss of the last layer only": {"loss": {"kind": "LogNMSE"}},
        },
    }


def _seeded(spec: dict[str, Any], seed: int) -> dict[str, Any]:
    """A format's table with the seed of its designed signs, if it has any."""
    if "seed" in spec:
        spec = {**spec, "seed": seed}
    return {**spec, "inner": _seeded(spec["inner"], seed)} if "inner" in spec else spec


def config(change: dict[str, Any], steps: int, seed: int) -> dict[str, Any]:
    """The config of a variant: the reference with ``change``."""
    weights = _seeded(change.get("weights", _DESIGNED).to_spec(), seed)
    network: dict[str, Any] = {"depth": DEPTH, "algorithm": change.get("algorithm", _CELL), "weights": weights}
    if "distinct" in change:
        network["distinct"] = change["distinct"]
    rates, first = change.get("rates", _RATES), change.get("first", 0.0)
    options: dict[str, Any] = {"rates": rates}
    stages: list[dict[str, Any]] = []
    if first:
        before = {"scalars": 1e-2, "matrices": 1e-3}
        stages += [s.to_spec() for s in grown(DEPTH, round(first * steps), quantised=False, rates=before)]
        options["steps"] = round((1 - first) * steps)
        stages.append({"name": "one-bit", **options})
    elif change.get("grown", True):
        stages += [stage.to_spec() for stage in grown(DEPTH, steps, **options)]
    else:
        stages.append({"name": "all layers", "steps": steps, **options})
    if "loss" in change:
        stages = [{**stage, "loss": change["loss"]} for stage in stages]
    return {"problem": {**PROBLEM, "seed": seed}, "network": network, "stages": stages}


def experiments(first_seed: int, seeds: int, quick: bool) -> list[Experiment]:
    """Every variant with every seed."""
    steps = 100 if quick else 600
    found = []
    for ingredient, changes in variants().items():
        for name, change in changes.items():
            for seed in range(first_seed, first_seed + seeds):
                labels = {"ingredient": ingredient, "network": name}
                found.append(Experiment(slug(name), config(change, steps, seed), labels, seed))
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, print the table, draw the figure."""
    seeds = options.seeds or (1 if options.quick else 3)
    planned = experiments(options.seed, seeds, options.quick)
    rows = run_all(planned, out, signals=2000 if options.quick else 10_000, workers=options.workers)
    table = summarise(rows)
    columns = ("ingredient", "variant", "mean of dB", "spread", "change", "NMSE (dB)", "failures", "bits/link")
    keys = ("network", "mean", "spread", "change", "nmse_db", "failures", "bits_per_link")
    print_table("Ablation", columns, [(row["ingredient"], *(row[key] for key in keys)) for row in table], _NOTES)
    save(differences(table, xlabel="change of NMSE (mean of dB) against the reference"), out / "figures" / "ablation")
    return {"rows": without_configs(rows), "table": table, "seeds": seeds}


def summarise(rows: list[Row]) -> list[dict[str, Any]]:
    """Means and spreads over seeds, and changes against the reference seed by seed."""
    reference = {row["seed"]: row["nmse_db_mean_of_db"] for row in rows if row["network"] == BASE}
    table = []
    for name in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == name]
        levels = np.array([row["nmse_db_mean_of_db"] for row in own])
        changes = levels - np.array([reference[row["seed"]] for row in own])
        line = {"ingredient": own[0]["ingredient"], "network": name, "mean": float(levels.mean())}
        line |= {"spread": float(np.ptp(levels)), "change": float(changes.mean()), "changes": changes.tolist()}
        line |= {key: float(np.mean([row[key] for row in own])) for key in ("nmse_db", "failures", "bits_per_link")}
        table.append(line)
    return table
