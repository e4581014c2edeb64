"""An experiment: a config like those of ``unrollbit train``, trained, packed, read back and measured."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from unrollbit.bits import BitReport
from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.config import build_run
from unrollbit.cli.outputs import NETWORK_FILE, Output
from unrollbit.cli.parallel import in_parallel
from unrollbit.cli.run_folder import train_into
from unrollbit.metrics import nmse_db
from unrollbit.packed import PackedNetwork, load
from unrollbit.training import training_set

Row = dict[str, Any]
TEST_SEED = 1  # of the test signals, as in ``unrollbit evaluate``
_ROW_FILE = "row.json"
_UNTRAINED = 2000  # signals that the start values are measured on
BITS = (
    "bits_per_link",
    "bits_per_active_link",
    "resident_bits_per_link",
    "weight_bits",
    "scale_bits",
    "resident_bits",
    "file_bits",
    "links",
)


@dataclass(frozen=True)
class Experiment:
    """One network to train: ``config`` as in TOML (without ``seed``), ``labels`` that its row of the table carries."""

    name: str
    config: Mapping[str, Any]
    labels: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class _Task:
    experiment: Experiment
    folder: Path
    signals: int


def run_all(experiments: Sequence[Experiment], out: Path, *, signals: int, workers: int) -> list[Row]:
    """Rows of all experiments, in their order; each keeps a run folder ``out/networks/NAME/seedN``.

    What is there already (a finished row of the same config and signals) is not trained again, and a killed training
    continues from its newest checkpoint.
    """
    names = [(experiment.name, experiment.seed) for experiment in experiments]
    assert len(set(names)) == len(names), "experiments of one study need names of their own"
    tasks = [
        _Task(experiment, out / "networks" / experiment.name / f"seed{experiment.seed}", signals)
        for experiment in experiments
    ]
    done = {task.folder: row for task in tasks if (row := _finished(task)) is not None}
    missing = [task for task in tasks if task.folder not in done]
    for folder, row in in_parallel(_run, missing, workers, lambda outcome: summary(outcome[1])):
        done[folder] = row
    return [done[task.folder] for task in tasks]


def slug(name: str) -> str:
    """A name for folders: letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def without_configs(rows: Sequence[Row]) -> list[Row]:
    """Rows for a report of many networks: their configs lie by each network."""
    return [{key: value for key, value in row.items() if key != "config"} for row in rows]


def summary(row: Row) -> str:
    """One line about a trained network."""
    level, bits = row["nmse_db_mean_of_db"], row["bits_per_link"]
    return (
        f"{row['name']} (seed {row['seed']}): {level:.1f} dB mean of dB, {bits:.3f} bits/link, {row['seconds']:.0f} s"
    )


def _finished(task: _Task) -> Row | None:
    path = task.folder / _ROW_FILE
    if not (path.exists() and (task.folder / NETWORK_FILE).exists()):
        return None
    row = json.loads(path.read_text(encoding="utf-8"))
    same = row["config"] == _plain(task.experiment.config) and row.get("requested") == task.signals
    return row | dict(task.experiment.labels) if same else None


def _plain(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config))


def _run(task: _Task) -> tuple[Path, Row]:
    experiment, folder = task.experiment, task.folder
    config = _plain(experiment.config)
    kept = folder / "config.json"
    if kept.exists() and json.loads(kept.read_text(encoding="utf-8")) != config:
        shutil.rmtree(folder)  # of another version of this study: its checkpoints are of another network
    Output(kept).write_json(config)
    described = build_run(config, folder)
    command = f"experiment {experiment.name}, seed {experiment.seed}"
    x, y, _ = draw_test(described.problem, TEST_SEED, task.signals)
    untrained = accuracy(described.network, described.problem, x[:_UNTRAINED], y[:_UNTRAINED])
    report, _ = train_into(folder, config, described, experiment.seed, command, resume=True, progress=False)
    packed = load(folder / NETWORK_FILE)
    row: Row = {
        "name": experiment.name,
        "seed": experiment.seed,
        "depth": packed.network.depth,
        "signals": len(x),
        "requested": task.signals,
    }
    row |= accuracy(packed.network, described.problem, x, y)
    row["open_l2o_db"] = open_l2o_db(packed, x, y)
    row |= bit_figures(packed.bits())
    if described.samples is not None:
        x, y = dataclasses.astuple(training_set(described.problem, experiment.seed, described.samples))
        row["training"] = accuracy(packed.network, described.problem, x[: task.signals], y[: task.signals])
    m, n = packed.network.operator.shape
    row["resident_per_entry"] = row["resident_bits"] / (m * n)
    row["before"] = {name: value for name, value in untrained.items() if isinstance(value, float)}
    row |= {"untrained": untrained["nmse_db_mean_of_db"], "validation_nmse_db": report.nmse_db}
    row |= {"seconds": report.seconds, "config": config}
    Output(folder / _ROW_FILE).write_json(row)
    return folder, row | dict(experiment.labels)


def open_l2o_db(packed: PackedNetwork, x: Array, y: Array) -> float:
    """Mean of dB as Open-L2O computes it: 1e-10 added to the squared error of each signal."""
    parts = [packed(y[i : i + 1000]) for i in range(0, len(y), 1000)]
    return float(nmse_db(jnp.concatenate(parts), x, reduction="mean_of_db", added=1e-10))


def bit_figures(bits: BitReport) -> dict[str, Any]:
    """The figures of a bit report that tables show."""
    return {name: getattr(bits, name) for name in BITS}
