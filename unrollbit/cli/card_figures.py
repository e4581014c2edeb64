"""Every figure of a model card, measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console
from rich.progress import track

from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.beside import beside, verdict
from unrollbit.cli.card_facts import describe, read_problem, read_training
from unrollbit.packed import PackedNetwork
from unrollbit.problems import Problem

PER_LAYER = ("nmse_db_per_layer", "nmse_db_mean_of_db_per_layer")


def measure(packed: PackedNetwork, problem: Problem, seeds: Sequence[int], samples: int) -> dict[str, Any]:
    """All figures of a card: facts of the file, accuracy on the test signals of every seed, bits.

    A problem of data has one test set, so that more seeds would show the same signals: only the first is run.
    """
    fixed = problem.split("test").count is not None
    rows: list[dict[str, Any]] = []
    used = seeds[:1] if fixed else seeds
    first: dict[str, Any] = {}
    others: list[dict[str, Any]] = []
    count, note = 0, ""
    for seed in track(used, "measuring", console=Console(stderr=True)):
        x, y, note = draw_test(problem, seed, samples)
        figures = accuracy(packed.network, problem, x, y)
        others = others or beside(packed, problem, x, y, seed)
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
        "certificates": packed.certificates,
        "samples": count,
        "one_test_set": fixed,
        "drawn_from": note.strip(),
        "seeds": rows,
        "mean": {name: sum(values) / len(values) for name, values in columns.items()},
        "spread": {name: max(values) - min(values) for name, values in columns.items()},
        **{name: first[name] for name in PER_LAYER},
        "baselines": others,
        "said": verdict(others),
        "bits": bits.to_dict() | {"resident_bits_per_entry": bits.resident_bits / (m * n)},
        "file_bytes": None if bits.file_bits is None else bits.file_bits // 8,
        "device": jax.default_backend(),
        "jax": jax.__version__,
    }
