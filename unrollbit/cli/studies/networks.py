"""The networks that the studies train, as configs of ``unrollbit train``: the field's own, and ours."""

from __future__ import annotations

from typing import Any

from unrollbit.formats import Coherent, Fixed

Config = dict[str, Any]


def _ista(regularisation: float, shrinkage: str, parametrisation: str = "coupled") -> Config:
    kind = {"kind": "ISTA", "parametrisation": parametrisation}
    return {**kind, "shrinkage": {"kind": shrinkage}, "regularisation": regularisation}


def full_precision_networks(depth: int, steps: int) -> dict[str, Config]:
    """LISTA, LISTA-CP, LISTA-CPSS and ALISTA, all in full precision, by their names in the literature.

    The weight that the first thresholds come from and the rate of LISTA's matrices are the best of those tried on
    validation signals of the noiseless problem: 0.02, 0.1, 0.3; and 3e-4, 1e-3, 3e-3.
    """
    common = {"depth": depth, "steps": steps}
    learned = {"name": "full_precision", **common}
    analytic = {"name": "scalars_only", **common, "weights": "Fixed"}
    return {
        "LISTA": {**learned, "algorithm": _ista(0.1, "Soft", "classic"), "matrix_rate": 3e-4},
        "LISTA-CP": {**learned, "algorithm": _ista(0.3, "Soft")},
        "LISTA-CPSS": {**learned, "algorithm": _ista(0.02, "SupportSelection")},
        "ALISTA": {**analytic, "algorithm": _ista(0.1, "SupportSelection", "step")},
    }


def cell_networks(depth: int, steps: int, physics: Config | None = None) -> dict[str, Config]:
    """The AMP cell in full precision: matrices learned, ALISTA's matrix, and W = A (which stores nothing)."""
    common: Config = {"depth": depth, "steps": steps} | ({} if physics is None else {"physics": physics})
    fixed = {"name": "scalars_only", **common}
    return {
        "cell, full precision": {"name": "full_precision", **common},
        "cell, ALISTA's matrix": {**fixed, "weights": Coherent(Fixed()).to_spec()},
        "cell, W = A": {**fixed, "weights": "Fixed"},
    }


def one_bit_network(
    depth: int,
    steps: int,
    *,
    planes: int = 1,
    distinct: int | None = None,
    anchored: bool = False,
    sign_rate: float = 1e-3,
    noise: float = 0.0,
    physics: Config | None = None,
) -> Config:
    """The AMP cell with designed signs."""
    config: Config = {"name": "designed_signs", "depth": depth, "steps": steps, "planes": planes}
    config |= {"sign_rate": sign_rate, "noise": noise, "anchored": anchored}
    if distinct is not None:
        config["distinct"] = distinct
    return config if physics is None else {**config, "physics": physics}
