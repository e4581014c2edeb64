"""The study of all statements about packed networks: its rows, what it leaves out, what it prints."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unrollbit import Unrolled, pack
from unrollbit.algorithms import AMP
from unrollbit.cli import main
from unrollbit.cli.studies import statements
from unrollbit.problems import SparseRecovery
from unrollbit.theory import Settings
from unrollbit.theory.report import upper_bound
from unrollbit.theory.summary import summarise

PROBLEM = SparseRecovery(24, 32, matrix="rademacher", snr_db=20.0)


def packed(path: Path, **record: object) -> Path:
    pack(Unrolled(AMP(), PROBLEM, 3), **record).save(path)
    return path


@pytest.mark.long
def test_every_network_has_a_row_or_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(tmp_path / "known.safetensors", problem=PROBLEM)
    packed(tmp_path / "bare.safetensors")
    arguments = ["reproduce", "statements", str(tmp_path), "--quick", "--workers", "1", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    (row,) = found["rows"]
    assert row["network"] == "known"
    assert found["skipped"][0].startswith("bare: this file carries no problem")
    assert {"H1", "H2"} <= set(row["prediction_statements"])
    assert row["families"] == sum(bool(row[f"{family}_statements"]) for family in statements.FAMILIES) >= 3
    assert 0 < row["held_out_seconds"] <= row["seconds"]
    assert row["level"] == 0.9
    assert row["limit_db"] < 0
    assert "bare: this file" in capsys.readouterr().out
    monkeypatch.setattr(statements, "every_theorem", lambda *_: pytest.fail("checked again"))
    packed(tmp_path / "twin.safetensors", problem=PROBLEM)  # the same content
    task = statements._Task("twin", tmp_path / "twin.safetensors", None, *checked_with(tmp_path))
    again = statements._Task("known", tmp_path / "known.safetensors", None, *checked_with(tmp_path))
    assert statements.checked(again) == {**row, "network": "known"}
    assert task.kept != again.kept


def test_only_statements_that_say_something_count() -> None:
    said = statements._said(
        summarise([upper_bound("S1", 2.0, 1.0, 1.0, {}), upper_bound("S3", 2.0, 1.0, 9.0, {}), *unmet()])
    )
    assert said["stability_statements"] == ["S3"]
    assert (said["families"], said["violated"]) == (1, [])


def checked_with(folder: Path) -> tuple:
    """The settings of a quick run."""
    return 4, Settings(seed=1, held_out=200, sample=500), folder / "out" / "rows"


def unmet() -> list:
    return [replace(upper_bound("C3", 2.0, 1.0, 9.0, {}), status="not applicable")]


@pytest.mark.long
def test_without_any_problem_the_study_ends_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed(tmp_path / "bare.safetensors")
    arguments = ["reproduce", "statements", str(tmp_path), "--workers", "1", "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "carries no problem" in capsys.readouterr().err
