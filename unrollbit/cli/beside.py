"""A network beside what a practitioner would use instead: rows for reports, and what they say in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Array

from unrollbit.baselines import Signals, compare
from unrollbit.baselines.comparison import Tell, silent
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem

NETWORK = "network"
COLUMNS = ("method", "NMSE (dB)", "PSNR (dB)", "ms a signal")
_SIGNALS = 512

Row = dict[str, Any]


def beside(packed: PackedNetwork, problem: Problem, x: Array, y: Array, seed: int, tell: Tell = silent) -> list[Row]:
    """Rows of ``unrollbit.baselines.compare`` on at most 512 of these test signals; first the network's."""
    net, signals = packed.network, Signals(x, y).spread(_SIGNALS)
    return compare(problem, {NETWORK: net}, signals=signals, iterations=net.depth, seed=seed, tell=tell)


def cells(row: Mapping[str, Any]) -> tuple[str, float, float | None, float | None]:
    """A row of a table with ``COLUMNS``."""
    return row["method"], row["nmse_db"], row["psnr_db"], row["milliseconds"]


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """In a sentence: whether the network is ahead of all others, or of which it is not; in PSNR where there is one.

    Example:
        >>> levels = {"network": -12.0, "zero": 0.0, "total variation": -14.5}
        >>> verdict([{"method": name, "nmse_db": level, "psnr_db": None} for name, level in levels.items()])
        'The network is not ahead of total variation (-14.5 dB against its -12.0 dB of NMSE).'
    """
    named = {row["method"]: row for row in rows}
    images = named[NETWORK]["psnr_db"] is not None
    figure, sign = ("psnr_db", -1) if images else ("nmse_db", 1)
    own = named.pop(NETWORK)[figure]
    ahead = [(row[figure], name) for name, row in named.items() if not sign * own < sign * row[figure]]
    if not ahead:
        best = min((sign * row[figure], name) for name, row in named.items())[1]
        return f"The network is ahead of all of these; the next best is {best}."
    behind = ", ".join(f"{name} ({level:.1f} dB" for level, name in sorted(ahead, key=lambda pair: sign * pair[0]))
    behind = behind.replace(" dB,", " dB),")
    what = "PSNR" if images else "NMSE"
    return f"The network is not ahead of {behind} against its {own:.1f} dB of {what})."
