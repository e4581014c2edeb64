"""The demo on its smallest problem, end to end."""

import json

import pytest

from unrollbit import load
from unrollbit.cli import main
from unrollbit.cli.demo_tasks import METHODS, PROBLEMS, SAMPLES

ROW = {
    "problem",
    "method",
    "layers",
    "nmse_db",
    "nmse_db_mean_of_db",
    "failures",
    "bits_per_link",
    "resident_bits_per_link",
    "file_bytes",
    "seconds",
}


def test_every_problem_has_the_baselines():
    assert set(PROBLEMS) == set(METHODS) == {"sparse", "single-pixel", "blocks", "eeg", "patches"}
    for problem, methods in METHODS.items():
        assert {"full precision", "one-bit"} <= set(methods)
        assert problem not in ("sparse", "blocks") or "W = A" in methods  # elsewhere W = A is the network, or no prior
    assert "dense relu" in METHODS["blocks"]


@pytest.mark.slow
def test_demo_on_eeg(tmp_path):
    assert main(["demo", "--problems", "eeg", "--workers", "2", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["finished"]
    rows = {row["method"]: row for row in report["rows"]}
    assert set(rows) >= {"ista", "fista", "fista converged", "linear MMSE", "full precision", "one-bit"}
    assert all(set(row) >= ROW for row in rows.values())
    # what the project promises on real signals
    assert rows["one-bit"]["nmse_db"] <= rows["full precision"]["nmse_db"] + 1.0
    assert rows["one-bit, 2 planes"]["nmse_db"] <= rows["full precision"]["nmse_db"] + 0.5
    assert rows["one-bit"]["nmse_db"] <= rows["linear MMSE"]["nmse_db"] - 0.5
    packed = load(tmp_path / "network.safetensors")
    assert packed.problem == SAMPLES["eeg"](0).to_spec()
    assert rows["one-bit"]["file_bytes"] == (tmp_path / "network.safetensors").stat().st_size
    for name in ("nmse_per_layer_eeg", "signal_eeg", "training_eeg", "accuracy_against_bits_eeg"):
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 5000
        assert (tmp_path / "figures" / f"{name}.pdf").stat().st_size > 1000
