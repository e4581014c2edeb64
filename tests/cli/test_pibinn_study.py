"""``unrollbit reproduce pibinn``: verdicts follow from the numbers, and every network can be built."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unrollbit.cli.config import build_run
from unrollbit.cli.main import main
from unrollbit.cli.studies import pibinn


def row(name: str, test: float, training: float, bits: float, **labels: Any) -> dict[str, Any]:
    levels = {"nmse_db": test, "nmse_db_mean_of_db": test, "bits_per_link": bits}
    return {"network": name, "training": {"nmse_db": training}, **levels, **labels}


def test_verdict_on_bits() -> None:
    rows = [
        row(pibinn.RELU, -5, -6, 32.0),
        row("b1.58", -9, -9, 0.2),
        row(pibinn.ONE_BIT, -10, -10, 0.1),
        row(pibinn.TWO, -8, -8, 0.02),
        row(pibinn.FLOAT, -20, -20, 4.0),
    ]
    assert pibinn._bits(rows).startswith("confirmed: one-bit -10.0 dB at 0.100 bits per link, best rival b1.58 -9.0")
    assert pibinn._bits([*rows, row("dense ReLU, ternary", -30, -30, 1.6)]).startswith("partly")
    rows[2]["bits_per_link"] = 1.5
    assert pibinn._bits([*rows, row("dense ReLU, ternary", -30, -30, 1.6)]).startswith("not")


def test_verdict_on_depth() -> None:
    falling = [row("one-bit, tied", -4.0 * k, -5.0 * k, 1 / k, layers=k) for k in (1, 2, 3)]
    assert pibinn._depth(falling).startswith("confirmed")
    stuck = [row(pibinn.TWO, -4.0, -5.0 * k, 1 / k, layers=k) for k in (1, 2, 3)]
    assert pibinn._depth([*falling, *stuck]).startswith("partly")
    assert pibinn._depth(stuck).startswith("not")


def test_verdict_on_the_gap() -> None:
    rows = [row(pibinn.ONE_BIT, -9.5, -10, 0.1, size=s) for s in (100, 500)]
    rows += [row(pibinn.RELU, test, -10, 32, size=s) for s, test in ((100, -2), (500, -5))]
    verdict = pibinn._gap(rows)
    assert verdict.startswith("confirmed")
    assert "one-bit 0.5, 0.5 dB; dense ReLU, float32 8.0, 5.0 dB" in verdict
    rows[-1]["nmse_db"] = -10
    assert pibinn._gap(rows).startswith("partly")


def test_verdict_on_data() -> None:
    rows = [row(name, level, level, 1, data="d") for name, level in ((pibinn.ONE_BIT, -8), (pibinn.RELU, -7))]
    rows.append(row(pibinn.FLOAT, -9, -9, 32, data="d"))
    assert pibinn._data(rows) == "confirmed: d: -8.0 dB against -7.0 (dense ReLU) and -9.0 (full precision)"
    rows[0]["nmse_db"] = -6
    assert pibinn._data(rows).startswith("not")


def test_verdict_on_the_large_problem() -> None:
    large = row(pibinn.ONE_BIT, -9, -9, 1 / 1000, weight_bits=10, links=10_240, seconds=5.0, before={"nmse_db": -5.0})
    large["config"] = {"problem": {"blocks": 1024}}
    assert pibinn._large([large]).startswith("confirmed: 65,536 unknowns, 0.001000 bits per link (1000 links a bit)")
    assert pibinn._large([{**large, "before": {"nmse_db": -9.0}}]).startswith("partly")
    assert pibinn._large([{**large, "links": 100}]).startswith("not")


@pytest.mark.slow
def test_every_network_can_be_built(tmp_path: Path) -> None:
    planned = pibinn.experiments(["bits", "data"], 0, quick=True)
    assert len(planned) == 8 + 3 * 4
    built = [build_run(experiment.config, tmp_path) for experiment in planned if experiment.labels["claim"] == "data"]
    assert {run.network.depth for run in built} == {pibinn.DEPTH}


@pytest.mark.slow
def test_a_claim_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_turn(run: Any, tasks: Any, workers: int, describe: Any, **options: Any) -> Any:
        for task in tasks:
            yield run(task)

    monkeypatch.setattr("unrollbit.cli.studies.experiment.in_parallel", in_turn)
    monkeypatch.setattr(pibinn, "BLOCKS", {"kind": "BlockSparseRecovery", "blocks": 2, "m": 8, "n": 16})
    monkeypatch.setattr(pibinn, "WIDTH", 32)
    monkeypatch.setattr(pibinn, "DEPTH", 3)
    out = tmp_path / "out"
    assert main(["reproduce", "pibinn", "--quick", "--claims", "gap", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "arXiv 2502.01908, claim: gap" in printed
    assert "(3) " in printed
    report = json.loads((out / "report.json").read_text())
    assert report["verdicts"]["gap"].split(":")[0] in ("confirmed", "partly", "not")
    assert (out / "figures" / "gap.png").stat().st_size > 10_000
