"""The study of hard signals: networks as they are and with their last layers repeated, on the same signals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, FullyConnected, Unrolled, pack
from unrollbit.cli import main
from unrollbit.cli.studies import hard_signals
from unrollbit.formats import Fixed
from unrollbit.metrics import failures, nmse_db
from unrollbit.networks import refine
from unrollbit.problems import SparseRecovery

PROBLEM = SparseRecovery(16, 32)


def save_networks(folder: Path) -> None:
    net = Unrolled(AMP(), PROBLEM, 4, Fixed())
    pack(net, problem=PROBLEM).save(folder / "net.safetensors")
    pack(net).save(folder / "bare.safetensors")
    pack(FullyConnected(PROBLEM.operator, 3, 20), problem=PROBLEM).save(folder / "dense.safetensors")


@pytest.mark.long
def test_hard_signals_are_measured_before_and_after() -> None:
    packed = pack(Unrolled(AMP(), PROBLEM, 4, Fixed()), problem=PROBLEM)
    row, cloud = hard_signals.measure("net", packed, 16, 1)
    x, y, _ = hard_signals.draw_test(PROBLEM, 1, 16)
    assert isinstance(packed.network, Unrolled)
    found = refine(packed.network, y)
    for when, estimate in (("as_trained", packed(y)), ("repeated", found.x)):
        assert row[when]["nmse_db"] == pytest.approx(float(nmse_db(estimate, x)), abs=0.05)
        assert row[when]["failures"] == pytest.approx(float(failures(estimate, x)), abs=0.011)
    assert row["repeated"]["nmse_db_mean_of_db"] < row["as_trained"]["nmse_db_mean_of_db"]
    assert row["layers_max"] == int(found.layers.max())
    np.testing.assert_array_equal(cloud["non-zeros"], np.count_nonzero(np.asarray(x), axis=-1))
    assert row["as_trained"]["worst_db"] == pytest.approx(cloud["before"].max())
    assert row["non_zeros_of_worst"] == cloud["non-zeros"][np.argmax(cloud["before"])]


@pytest.mark.long
def test_the_study_measures_every_unrolled_network_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measure = hard_signals.measure
    monkeypatch.setattr(hard_signals, "measure", lambda name, packed, signals, seed: measure(name, packed, 16, seed))
    save_networks(tmp_path)
    out = tmp_path / "out"
    assert main(["reproduce", "hard-signals", str(tmp_path), "--quick", "--out", str(out)]) == 0
    report = json.loads((out / "report.json").read_text())
    assert [row["network"] for row in report["rows"]] == ["net"]
    assert report["skipped"] == ["bare", "dense"]
    assert (report["signals"], report["test_seed"]) == (2000, 1)
    printed = capsys.readouterr().out
    assert "skipped: bare" in printed
    for suffix in ("pdf", "png"):
        assert (out / "figures" / f"hard-signals.{suffix}").stat().st_size > 3000


def test_networks_that_cannot_be_measured_are_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_networks(tmp_path)
    files = [str(tmp_path / f"{name}.safetensors") for name in ("dense", "bare")]
    assert main(["reproduce", "hard-signals", *files, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error == "unrollbit: error: none of the networks is an unrolled one for sparse signals\n"
