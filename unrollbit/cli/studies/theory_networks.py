"""The networks that theorems are tried on: small ones of every normal form, trained, with and without penalties."""

from __future__ import annotations

from typing import Any

from unrollbit.cli.studies.experiment import Experiment, slug

Config = dict[str, Any]

_DEPTH = 8
_SAMPLES = 20_000  # a fixed training set: certificates of generalization need one
_PROBLEMS: dict[str, Config] = {
    "wide": {"kind": "SparseRecovery", "m": 32, "n": 64, "sparsity": 0.06},
    "tall": {"kind": "SparseRecovery", "m": 48, "n": 32, "sparsity": 0.15, "snr_db": 30.0},
    "tall, dense signals": {"kind": "SparseRecovery", "m": 64, "n": 32, "sparsity": 1.0, "snr_db": 30.0},
    "masked": {"kind": "BlockSparseRecovery", "blocks": 4, "m": 10, "n": 16, "sparsity": 0.06},
    "masked, tall": {"kind": "BlockSparseRecovery", "blocks": 4, "m": 16, "n": 8, "sparsity": 1.0, "snr_db": 30.0},
}
_ALGORITHMS: dict[str, Config] = {
    "ista": {"kind": "ISTA", "regularisation": 0.1},
    "alista": {"kind": "ISTA", "regularisation": 0.1, "parametrisation": "step"},
    "lista": {"kind": "ISTA", "regularisation": 0.1, "parametrisation": "classic"},
    "gd": {"kind": "GradientDescent"},
    "admm": {"kind": "ADMM", "regularisation": 0.1},
}
_WEIGHTS: dict[str, Config] = {
    "one bit": {"kind": "OneBit"},
    "two planes": {"kind": "OneBit", "planes": 2},
    "scale per row": {"kind": "OneBit", "scale": "row"},
    "full precision": {"kind": "FullPrecision"},
    "W = A": {"kind": "Fixed"},
}
_CONTRACTION = {"kind": "Contraction"}
_SUPPORT = {"kind": "SupportContraction"}
# algorithm, problem, weights, tied, penalty
_NETWORKS: tuple[tuple[str, str, str, bool, Config | None], ...] = (
    ("ista", "wide", "one bit", False, None),
    ("ista", "wide", "one bit", True, None),
    ("ista", "wide", "full precision", False, None),
    ("ista", "wide", "two planes", False, None),
    ("ista", "wide", "scale per row", False, None),
    ("ista", "wide", "one bit", True, _SUPPORT),
    ("ista", "masked", "one bit", False, None),
    ("ista", "masked", "full precision", False, None),
    ("ista", "tall", "one bit", False, None),
    ("ista", "tall", "one bit", False, _CONTRACTION),
    ("alista", "wide", "W = A", True, None),
    ("lista", "wide", "full precision", False, None),
    ("lista", "wide", "one bit", False, None),
    ("lista", "masked", "one bit", False, None),
    ("gd", "tall, dense signals", "one bit", False, None),
    ("gd", "tall, dense signals", "one bit", True, None),
    ("gd", "tall, dense signals", "full precision", False, None),
    ("gd", "tall, dense signals", "one bit", False, _CONTRACTION),
    ("gd", "masked, tall", "one bit", False, None),
    ("admm", "wide", "one bit", False, None),
    ("admm", "tall", "full precision", False, None),
    ("admm", "tall", "one bit", False, _CONTRACTION),
    ("admm", "masked", "one bit", False, None),
)


def experiments(seed: int, quick: bool) -> list[Experiment]:
    """23 networks; with ``quick`` one of each normal form, and fewer steps."""
    chosen = [_NETWORKS[index] for index in (0, 11, 17, 21)] if quick else _NETWORKS
    return [_experiment(*network, seed, 250 if quick else 500) for network in chosen]


def _experiment(
    algorithm: str, problem: str, weights: str, tied: bool, penalty: Config | None, seed: int, steps: int
) -> Experiment:
    rates = {"scalars": 1e-2, "matrices": 1e-3} if weights == "full precision" else {"scalars": 1e-2}
    if weights not in ("full precision", "W = A"):
        rates |= {"scales": 1e-3, "signs": 1e-3}
    stage: Config = {"steps": steps, "rates": rates}
    if penalty is not None:
        stage["penalties"] = [penalty]
    network: Config = {"depth": _DEPTH, "algorithm": _ALGORITHMS[algorithm], "weights": _WEIGHTS[weights]}
    network |= {"distinct": 1} if tied else {}
    config = {
        "samples": _SAMPLES,
        "problem": {**_PROBLEMS[problem], "seed": seed},
        "network": network,
        "stages": [stage],
    }
    words = [algorithm, problem, weights] + ["tied"] * tied + ([] if penalty is None else [penalty["kind"]])
    labels = {"form": algorithm, "problem": problem, "weights": weights, "tied": tied, "penalty": penalty}
    return Experiment(slug("-".join(words)), config, {"network": ", ".join(words), **labels}, seed)
