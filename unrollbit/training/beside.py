"""How a trained network stands beside what one would use instead: the table at the end of ``fit``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from unrollbit.baselines import Baseline, compare, drawn, suited, training_signals
from unrollbit.operators.inverse import LARGEST_SVD
from unrollbit.operators.physics import physics_of
from unrollbit.training.run import TrainingRun
from unrollbit.training.validation import shortfall

TRAINED = "trained"
_SIGNALS, _TUNED_ON, _CONVERGED = 256, 32, 100


def beside(run: TrainingRun, problem: Any) -> list[dict[str, Any]]:
    """Rows of ``unrollbit.baselines.compare`` on validation signals: the network trained and untrained, then zero, the
    measurements where they are pictures, linear MMSE, Tikhonov (where it is cheap) and total variation on a grid, and
    the classic solver of as many iterations. None of them for
    a problem that is not one of the library's contract.
    """
    if not hasattr(problem, "metrics") or not hasattr(problem, "operator"):
        return []
    untrained = nnx.clone(run.net)  # a state of the network itself would follow what is put into it
    nnx.update(untrained, run.untrained.state)
    return compare(
        problem,
        {TRAINED: run.net, "untrained": untrained},
        signals=(jnp.asarray(run.validation.x)[:_SIGNALS], jnp.asarray(run.validation.y)[:_SIGNALS]),
        baselines=brief(problem, run.net.depth),
        tuned_on=_TUNED_ON,
        timed=False,
    )


def brief(problem: Any, iterations: int) -> list[Baseline]:
    """The baselines of that table: the strongest that take seconds."""
    wanted = {"linear MMSE", "total variation", "fista"}
    if math.prod(physics_of(problem).shape) <= LARGEST_SVD:  # a decomposition that linear MMSE has already taken
        wanted.add("tikhonov")
    found = suited(
        problem, training_signals(problem, 0), drawn(problem, "validation", _TUNED_ON, 0), iterations, _CONVERGED
    )
    return [baseline for baseline in found if baseline.name in wanted]


def ahead_of_rows(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """In words, what the trained network is not ahead of; None where there is no such row."""
    levels = {row["method"]: row["nmse_db"] for row in rows}
    level = levels.pop(TRAINED, None)
    return None if level is None else shortfall(level, levels)


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table on stderr, the best method first."""
    from rich.console import Console
    from rich.table import Table

    images = any(row["psnr_db"] is not None for row in rows)
    table = Table(title="on validation signals; NMSE: ratio of sums", title_justify="left")
    table.add_column("method")
    for name in ("NMSE (dB)", *(["PSNR (dB)"] if images else [])):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: row["nmse_db"]):
        psnr = [f"{row['psnr_db']:.2f}"] if images else []
        table.add_row(row["method"], f"{row['nmse_db']:.2f}", *psnr)
    Console(stderr=True).print(table)
