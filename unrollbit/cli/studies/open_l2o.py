"""The sparse-recovery figure of Open-L2O, with full-precision networks and one-bit networks side by side."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from unrollbit.cli.studies.experiment import Experiment, Row, run_all, slug
from unrollbit.cli.studies.networks import cell_networks, full_precision_networks, one_bit_network
from unrollbit.cli.tables import print_table
from unrollbit.plots import accuracy_against_total_bits, nmse_per_layer, save
from unrollbit.problems import SparseRecovery
from unrollbit.theory.prediction import optimum_db

DEPTH = 16
FIELD, CELL, ONE_BIT = "field's networks, 32 bits", "AMP cell, 32 bits", "AMP cell, sign planes"
ADDED = "AMP cell, A + sign planes"
SIGNS = "AMP cell, A of signs"

SETTINGS: dict[str, dict[str, Any]] = {
    "a": {"m": 256, "n": 512},
    "b": {"m": 256, "n": 512, "snr_db": 20.0},
    "c": {"m": 256, "n": 512, "matrix": "ill-conditioned"},
    "d": {"m": 512, "n": 1024},
}
TITLES = {"a": "noiseless", "b": "SNR 20 dB", "c": "ill-conditioned, condition number 50", "d": "large"}

# Mean of per-sample dB at layer 16, read off the curves of Chen et al., "Learning to Optimize: A Primer and a
# Benchmark", JMLR 2022 (to about 1 dB). Its ill-conditioned dictionary is not specified: an indication only.
PUBLISHED: dict[str, dict[str, float]] = {
    "a": {"LISTA": -35, "LISTA-CP": -30, "LISTA-CPSS": -63, "LAMP": -55, "ALISTA": -79, "GLISTA": -55},
    "b": {"LISTA": -18, "LISTA-CP": -15, "LISTA-CPSS": -20, "LAMP": -16, "ALISTA": -20, "GLISTA": -22},
    "c": {"LISTA": -13, "LISTA-CP": -19, "LISTA-CPSS": -26, "LAMP": -24, "ALISTA": -14, "GLISTA": -31},
    "d": {"LISTA": -34, "LISTA-CP": -25, "LISTA-CPSS": -30, "LAMP": -53, "ALISTA": -81, "GLISTA": -26},
}

_DRAWN = ("LISTA-CP", "LISTA-CPSS", "ALISTA", "cell, W = A", "1 plane, untied", "A + 1 plane, tied", "2 planes, tied")
_QUICK = (
    "LISTA-CP",
    "ALISTA",
    "cell, W = A",
    "1 plane, tied",
    "1 plane, untied",
    "2 planes, tied",
    "A + 1 plane, tied",
    "single-pixel, W = A",
)
_NOTES = (
    "mean of dB: mean over test signals of the per-signal NMSE; same metric: with the 1e-10 that Open-L2O adds to the",
    "squared error, to be compared with published (read off its curves), which hides what lies below -117 dB;",
    "NMSE: 10 log10(sum of errors / sum of energies); failures: share of signals worse than -20 dB. Fresh signals,",
    "networks read back from their files. bits/link: stored bits over links; resident: all maps in memory, A included,",
    "per entry of A. untrained: the network at its start values, mean of dB. genie bound: no estimator has a lower",
    "NMSE (it is told which unknowns are not zero); Bayes limit: nor has any of infinitely many unknowns.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of this study."""
    parser.add_argument(
        "--networks", dest="names", nargs="+", metavar="NAME", help="some rows of the table only, by their names"
    )
    parser.add_argument("--setting", nargs="+", choices=sorted(SETTINGS), help="among a, b, c, d (default: all)")


def networks(setting: str, steps: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Group and recipe of every network of a setting.

    Setting b designs signs for its noise, which outweighs what other unknowns leak by about 6 in the last layers
    (noise variance 0.002 per measurement, squared error 0.0003 per unknown), and lets signs move faster; setting c
    gives all networks of the cell, one-bit or not, preconditioned physics. Chosen on validation signals. The field's
    networks learn slowly and get twice the steps.
    """
    physics = {"form": "preconditioned"} if setting == "c" else None
    options: dict[str, Any] = {"physics": physics}
    if setting == "b":
        options |= {"noise": 6.0, "sign_rate": 1e-2}
    found = {name: (FIELD, config) for name, config in full_precision_networks(DEPTH, 2 * steps).items()}
    found |= {name: (CELL, config) for name, config in cell_networks(DEPTH, steps, physics).items()}
    for planes in (1, 2):
        count = f"{planes} plane" + "s" * (planes > 1)
        for label, distinct in (("tied", 1), ("2 cycled", 2), ("4 cycled", 4), ("untied", None)):
            if planes == 1 or label in ("tied", "untied"):
                config = one_bit_network(DEPTH, steps, planes=planes, distinct=distinct, **options)
                found[f"{count}, {label}"] = ONE_BIT, config
        for label, distinct in (("tied", 1), ("untied", None)):
            config = one_bit_network(DEPTH, steps, planes=planes, distinct=distinct, anchored=True, **options)
            found[f"A + {count}, {label}"] = ADDED, config
    return found if setting != "c" else found | _without_preconditioner(steps)


def _without_preconditioner(steps: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The cell on ill-conditioned physics as it is: W alone has to make up for it."""
    raw = {f"{name}, A as it is": (CELL, config) for name, config in cell_networks(DEPTH, steps).items()}
    for planes in (1, 2, 4):
        config = one_bit_network(DEPTH, steps, planes=planes, distinct=1)
        raw[f"{planes} plane{'s' * (planes > 1)}, tied, A as it is"] = ONE_BIT, config
    return raw


def sign_networks(steps: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Matrix and recipe of networks for physics with entries +-1: everything that they hold is bits."""
    fixed = cell_networks(DEPTH, steps)["cell, W = A"]
    return {
        "single-pixel, W = A": ("hadamard", fixed),
        "Rademacher, W = A": ("rademacher", fixed),
        "Rademacher, A + 1 plane, tied": ("rademacher", one_bit_network(DEPTH, steps, distinct=1, anchored=True)),
    }


def experiments(setting: str, *, seed: int, quick: bool) -> list[Experiment]:
    """The trainings of one setting: those of its A, and (a, b, d) those of an A of signs of the same size and noise."""
    problem = {"kind": "SparseRecovery", **SETTINGS[setting], "seed": seed}
    steps = 250 if quick else 1500
    planned = {name: (group, problem, recipe) for name, (group, recipe) in networks(setting, steps).items()}
    if setting != "c":
        signs = sign_networks(steps).items()
        planned |= {name: (SIGNS, {**problem, "matrix": matrix}, recipe) for name, (matrix, recipe) in signs}
    found = []
    for name, (group, described, recipe) in planned.items():
        if not quick or name in _QUICK:
            labels = {"setting": setting, "network": name, "group": group, "published": PUBLISHED[setting].get(name)}
            config = {"problem": described, "recipe": recipe}
            found.append(Experiment(f"{setting}-{slug(name)}", config, labels, seed))
    return found


def run(options: argparse.Namespace, out: Path) -> dict[str, Any]:
    """Train, print the tables, draw the figures."""
    settings = sorted(set(options.setting or ())) or (["a"] if options.quick else sorted(SETTINGS))
    signals = 2000 if options.quick else 10_000
    planned = [e for setting in settings for e in experiments(setting, seed=options.seed, quick=options.quick)]
    if options.names:
        known = {experiment.labels["network"] for experiment in planned}
        if unknown := sorted(set(options.names) - known):
            raise ValueError(f"--networks: unknown {', '.join(unknown)}; expected some of {'; '.join(sorted(known))}")
        planned = [experiment for experiment in planned if experiment.labels["network"] in options.names]
    rows = run_all(planned, out, signals=signals, workers=options.workers)
    limits = {setting: optima(setting, options.seed) for setting in settings}
    for setting in settings:
        own = [row for row in rows if row["setting"] == setting]
        if not own:
            continue
        show(setting, own, limits[setting])
        draw(setting, own, limits[setting], out / "figures")
    published = _listed({setting: PUBLISHED[setting] for setting in settings}, "nmse_db_mean_of_db")
    return {"rows": rows, "published": published, "optima": _listed(limits, "nmse_db")}


def _listed(levels: Mapping[str, Mapping[str, float]], key: str) -> list[Row]:
    """Levels by setting and name, a row each, under the key of what they are."""
    return [
        {"setting": setting, "network": name, key: level}
        for setting, named in levels.items()
        for name, level in named.items()
    ]


def optima(setting: str, seed: int) -> dict[str, float]:
    """Lower bounds of the NMSE of every estimator in dB, by name; none without noise."""
    problem = SparseRecovery(**SETTINGS[setting], seed=seed)
    return optimum_db(problem, *problem.split("test").sample(jax.random.key(seed), 1000))


def show(setting: str, rows: list[Row], limits: Mapping[str, float]) -> None:
    """The table of one setting."""
    columns = ("network", "published", "same metric", "mean of dB", "NMSE (dB)", "failures", "untrained")
    columns += ("bits/link", "resident")
    keys = (
        "published",
        "open_l2o_db",
        "nmse_db_mean_of_db",
        "nmse_db",
        "failures",
        "untrained",
        "bits_per_link",
        "resident_per_entry",
    )
    lines = [(row["network"], *(row.get(key) for key in keys)) for row in rows]
    trained = {row["network"] for row in rows}
    blank = (None,) * (len(keys) - 1)
    lines += [(name, level, *blank) for name, level in PUBLISHED[setting].items() if name not in trained]
    place = keys.index("nmse_db")
    lines += [(name, *blank[:place], level, *blank[place:]) for name, level in limits.items()]
    print_table(f"Open-L2O, setting {setting}: {TITLES[setting]}", columns, lines, _NOTES)


def draw(setting: str, rows: list[Row], limits: Mapping[str, float], folder: Path) -> None:
    """NMSE per layer, and NMSE against stored and resident bits: mean of dB beside what was published or, where there
    are bounds, the ratio of sums, which is what they bound.
    """
    drawn = [row for row in rows if row["network"] in _DRAWN] or rows[:7]
    best = min(PUBLISHED[setting].items(), key=lambda entry: entry[1])
    key, label, levels = "nmse_db_mean_of_db", "NMSE, mean of dB", {f"{best[0]}, published": best[1]}
    if limits:
        key, label, levels = "nmse_db", "NMSE, ratio of sums (dB)", limits
    figure = nmse_per_layer({row["network"]: row[f"{key}_per_layer"] for row in drawn}, levels, ylabel=label)
    save(figure, folder / f"open-l2o-{setting}-layers")
    points = [
        {
            "label": row["network"],
            "group": row["group"],
            "nmse_db": row[key],
            "stored": row["bits_per_link"],
            "resident": row["resident_per_entry"],
        }
        for row in rows
    ]
    save(accuracy_against_total_bits(points, levels, ylabel=label), folder / f"open-l2o-{setting}-bits")
