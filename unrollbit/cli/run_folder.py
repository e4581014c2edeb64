"""Training into a run folder."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrollbit.cli.config import Run
from unrollbit.cli.outputs import DATA_FILE, NETWORK_FILE, Output
from unrollbit.operators import unpackable
from unrollbit.packed import PackedNetwork, pack
from unrollbit.training import ResultWarning, TrainingReport, fit
from unrollbit.training.processes import is_first


def train_into(
    out: Path, config: Mapping[str, Any], described: Run, seed: int, command: str, **options: Any
) -> tuple[TrainingReport, PackedNetwork]:
    """Train what a config describes into a run folder; the packed network is written last. ``options`` of ``fit``.

    Raises ``ValueError``, before training, for physics that no file can hold.
    """
    reason = unpackable(described.network.operator)
    if reason is not None:
        raise ValueError(f"physics: {reason}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultWarning)  # the report says it
        report = fit(
            described.network,
            described.problem,
            described.stages,
            seed=seed,
            samples=described.samples,
            teacher=described.teacher,
            out=out,
            **options,
        )
    training = {"command": command, "seed": seed, "seconds": round(report.seconds, 1), "steps": report.steps}
    training |= {"samples": described.samples, "config": config}
    packed = pack(described.network, problem=described.problem, training=training)
    if is_first():
        packed.save(out / NETWORK_FILE)
        if places := described.problem.places():
            Output(out / DATA_FILE).write_json({"folders": places})
    return report, packed
