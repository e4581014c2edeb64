"""An experiment is trained once, packed, and measured on its file; what is there is kept, what is not is made."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrollbit import load
from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.config import build_run
from unrollbit.cli.studies import experiment as module
from unrollbit.cli.studies.experiment import BITS, Experiment, bit_figures, run_all, slug, summary
from unrollbit.problems import SparseRecovery
from unrollbit.training import training_set
from unrollbit.training.program import Program

PROBLEM = {"kind": "SparseRecovery", "m": 16, "n": 32}
STAGE = {"steps": 3, "batch": 4, "rates": {"scalars": 0.01}}
NETWORK = {"depth": 2, "algorithm": {"kind": "ISTA", "regularisation": 0.05}}
FIXED = {
    "problem": PROBLEM,
    "network": {**NETWORK, "weights": {"kind": "Fixed"}},
    "stages": [{**STAGE, "name": "first"}, {**STAGE, "name": "second"}],
}
ONE_BIT = {"samples": 64, "problem": PROBLEM, "network": {**NETWORK, "weights": "OneBit"}, "stages": [STAGE]}
SIGNALS = 200


def in_series(run: Any, tasks: Any, workers: int, describe: Any) -> Iterator[Any]:
    """One after the other in this process, through pickles as if it were another one."""
    for task in tasks:
        outcome = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(run))(pickle.loads(pickle.dumps(task)))))
        assert outcome[1]["name"] in describe(outcome)
        yield outcome


@pytest.fixture(autouse=True)
def serial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "in_parallel", in_series)


@pytest.fixture
def dispatches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever training steps are run; a training can be killed at a given one."""
    seen: list[int] = []
    run = Program.run

    def counted(*arguments: Any) -> Any:
        seen.append(len(seen))
        return run(*arguments)

    monkeypatch.setattr(Program, "run", counted)
    return seen


@pytest.fixture(scope="module")
def planned() -> list[Experiment]:
    return [
        Experiment("fixed", FIXED, {"network": "W = A", "group": "32 bits"}, seed=1),
        Experiment("one-bit", ONE_BIT, {"network": "signs", "published": None}),
    ]


@pytest.fixture(scope="module")
def finished(planned: list[Experiment], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    out = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "in_parallel", in_series)
        return out, run_all(planned, out, signals=SIGNALS, workers=1)


def folder_of(out: Path, name: str, seed: int) -> Path:
    return out / "networks" / name / f"seed{seed}"


def assert_figures(found: Any, expected: dict[str, Any]) -> None:
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


def scalars_of(folder: Path) -> dict[str, np.ndarray]:
    network = load(folder / "network.safetensors").network
    return {name: np.asarray(raw[...]) for name, raw in network.scalars.items()}


@pytest.mark.long
def test_rows_are_in_order_and_carry_their_labels(finished: Any, planned: list[Experiment]) -> None:
    _, rows = finished
    assert [(row["name"], row["seed"], row["depth"]) for row in rows] == [("fixed", 1, 2), ("one-bit", 0, 2)]
    for row, experiment in zip(rows, planned, strict=True):
        assert {key: row[key] for key in experiment.labels} == experiment.labels
        assert row["config"] == experiment.config
        assert row["signals"] == SIGNALS


@pytest.mark.long
@pytest.mark.parametrize("index", [0, 1])
def test_rows_hold_what_the_file_does_on_test_signals(finished: Any, planned: list[Experiment], index: int) -> None:
    out, rows = finished
    row, experiment = rows[index], planned[index]
    folder = folder_of(out, experiment.name, experiment.seed)
    packed = load(folder / "network.safetensors")
    problem = SparseRecovery(16, 32)
    x, y, _ = draw_test(problem, 1, SIGNALS)
    expected = accuracy(packed.network, problem, x, y)
    assert "nmse_db_per_layer" in expected
    assert_figures(row, expected)
    start = build_run(experiment.config, Path()).network
    untrained = accuracy(start, problem, x, y)["nmse_db_mean_of_db"]
    assert row["untrained"] == pytest.approx(untrained, abs=1e-4)
    assert row["untrained"] != pytest.approx(row["nmse_db_mean_of_db"], abs=1e-3)  # it was trained
    assert packed.problem == problem.to_spec()
    assert packed.training is not None
    assert packed.training["seed"] == experiment.seed
    assert experiment.name in packed.training["command"]


@pytest.mark.long
def test_bits_are_those_of_the_file(finished: Any, planned: list[Experiment]) -> None:
    out, rows = finished
    for row, experiment in zip(rows, planned, strict=True):
        bits = load(folder_of(out, experiment.name, experiment.seed) / "network.safetensors").bits()
        assert {name: row[name] for name in BITS} == {name: getattr(bits, name) for name in BITS} == bit_figures(bits)
        assert row["file_bits"] > 0
    fixed, signs = rows
    assert (fixed["weight_bits"], signs["weight_bits"]) == (0, 2 * 16 * 32)
    assert fixed["resident_per_entry"] == 32.0  # A and nothing beside it
    assert signs["resident_per_entry"] == pytest.approx(32 + 2, abs=0.2)  # A, and the signs of two layers


@pytest.mark.long
def test_training_signals_are_measured_where_they_are_a_fixed_set(finished: Any, planned: list[Experiment]) -> None:
    out, rows = finished
    assert "training" not in rows[0]
    problem = SparseRecovery(16, 32)
    network = load(folder_of(out, "one-bit", 0) / "network.safetensors").network
    signals = training_set(problem, 0, 64)
    expected = accuracy(network, problem, signals.x, signals.y)
    assert_figures(rows[1]["training"], expected)
    assert rows[1]["training"]["nmse_db"] != pytest.approx(rows[1]["nmse_db"], abs=1e-3)


@pytest.mark.long
def test_a_finished_experiment_is_not_trained_again(
    finished: Any, planned: list[Experiment], dispatches: list[int]
) -> None:
    out, rows = finished
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 8
    before = {path: path.stat().st_mtime_ns for path in files}
    renamed = [Experiment(planned[0].name, planned[0].config, {"network": "renamed"}, 1), planned[1]]
    again = run_all(renamed, out, signals=SIGNALS, workers=1)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    assert not dispatches
    assert again[0] == {key: value for key, value in rows[0].items() if key != "group"} | {"network": "renamed"}
    assert again[1] == json.loads(json.dumps(rows[1]))


@pytest.mark.long
def test_what_has_changed_is_made_again_and_no_more(
    finished: Any, planned: list[Experiment], tmp_path: Path, dispatches: list[int]
) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    folder, before = folder_of(tmp_path, "fixed", 1), finished[1][0]
    values = scalars_of(folder)
    # other signals: another measurement of the same network
    (second,) = run_all(planned[:1], tmp_path, signals=60, workers=1)
    assert not dispatches
    assert second["signals"] == 60
    assert second["nmse_db"] != before["nmse_db"]
    for name, after in scalars_of(folder).items():
        np.testing.assert_array_equal(after, values[name])
    # another config: a training of its own
    changed = {**FIXED, "stages": [{**STAGE, "rates": {"scalars": 0.02}}]}
    experiment = Experiment("fixed", changed, {}, 1)
    (third,) = run_all([experiment], tmp_path, signals=60, workers=1)
    assert len(dispatches) == 1
    assert third["config"] == changed == json.loads((folder / "config.json").read_text())
    assert any(not np.array_equal(after, values[name]) for name, after in scalars_of(folder).items())


def test_a_killed_training_continues_from_its_checkpoint(
    finished: Any, planned: list[Experiment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dispatches: list[int]
) -> None:
    counted = Program.run

    def killed(*arguments: Any) -> Any:
        if len(dispatches) == 1:
            raise KeyboardInterrupt
        return counted(*arguments)

    folder = folder_of(tmp_path, "fixed", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Program, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            run_all(planned[:1], tmp_path, signals=SIGNALS, workers=1)
    assert not (folder / "network.safetensors").exists()
    assert not (folder / "row.json").exists()
    assert len(dispatches) == 1
    (row,) = run_all(planned[:1], tmp_path, signals=SIGNALS, workers=1)
    assert len(dispatches) == 2  # the first stage is not trained again
    out, rows = finished
    for name, values in scalars_of(folder_of(out, "fixed", 1)).items():
        np.testing.assert_array_equal(scalars_of(folder)[name], values)
    assert row["nmse_db"] == rows[0]["nmse_db"]
    assert json.loads((folder / "row.json").read_text())["config"] == FIXED


def test_experiments_of_one_name_are_a_mistake_of_the_study(planned: list[Experiment], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="need names of their own"):
        run_all([planned[0], planned[0]], tmp_path, signals=1, workers=1)
    assert not list(tmp_path.iterdir())


def test_names_for_folders_and_lines_for_people() -> None:
    assert slug("A + 1 plane, untied") == "a-1-plane-untied"
    assert slug("  cell, ALISTA's matrix ") == "cell-alista-s-matrix"
    row = {"name": "tied", "seed": 3, "nmse_db_mean_of_db": -41.26, "bits_per_link": 0.0631, "seconds": 12.4}
    assert summary(row) == "tied (seed 3): -41.3 dB mean of dB, 0.063 bits/link, 12 s"
