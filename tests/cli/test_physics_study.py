"""``unrollbit reproduce physics`` on two small problems; the full study takes a quarter of an hour."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrollbit.cli.main import main
from unrollbit.cli.studies import physics

SMALL = {
    "box blur": {
        "kind": "Deblurring",
        "kernel": "box",
        "width": 3,
        "size": 16,
        "transform": "dct",
        "snr_db": 40.0,
    },
    "spikes": {"kind": "SparseDeconvolution", "n": 32, "snr_db": 30.0},
}


def in_turn(run: Any, tasks: Any, workers: int, describe: Any, **options: Any) -> Any:
    for task in tasks:
        outcome = run(task)
        assert isinstance(describe(outcome), str)
        yield outcome


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physics, "PROBLEMS", SMALL)
    monkeypatch.setattr(physics, "DEPTH", 2)
    monkeypatch.setattr(physics, "in_parallel", in_turn)
    monkeypatch.setattr("unrollbit.cli.studies.experiment.in_parallel", in_turn)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_study_trains_compares_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["reproduce", "physics", "--quick", "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for word in ("Physics: test NMSE in dB", "box blur", "spikes", "A + 1 plane", "gap"):
        assert word in printed
    report = json.loads((out / "report.json").read_text())
    assert len(report["rows"]) == 2 * 4
    for line in report["table"]:
        assert line["A + 1 plane gap"] == pytest.approx(line["A + 1 plane"] - line["full precision"])
        assert line["A + 1 plane bytes"] < line["full precision bytes"]
        levels = [
            row["nmse_db"] for row in report["rows"] if (row["problem"], row["network"]) == (line["problem"], "W = A")
        ]
        assert line["W = A"] == pytest.approx(np.mean(levels))
    assert (out / "figures" / "images-box-blur.png").stat().st_size > 10_000
    assert not (out / "figures" / "images-spikes.png").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.json") if "figures" not in str(path)}
    assert main(command) == 0  # nothing is trained or tuned twice
    for path, time in kept.items():
        assert path.name == "report.json" or path.stat().st_mtime_ns == time


def test_networks_start_at_the_tuned_solver() -> None:
    classic = {("spikes", 0): {"weight": 0.25}}
    planned = physics.experiments(["spikes"], [0], classic, quick=True)
    assert [experiment.labels["network"] for experiment in planned] == [
        "W = A",
        "full precision",
        "A + 1 plane",
        "A + 2 planes",
    ]
    assert all(experiment.config["recipe"]["algorithm"]["regularisation"] == 0.25 for experiment in planned)
