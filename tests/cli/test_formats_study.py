"""unrollbit reproduce formats: its plan, its table and figure on small networks, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unrollbit.cli import main
from unrollbit.cli.config import build_run
from unrollbit.cli.network_table import build_weights
from unrollbit.cli.studies import formats
from unrollbit.formats import LittleBit


@pytest.mark.parametrize("quick", [True, False])
def test_the_plan_has_names_of_its_own_equal_training_and_every_format(quick: bool) -> None:
    planned = formats.experiments(0, 2, quick)
    names = [(e.name, e.seed) for e in planned]
    assert len(set(names)) == len(names)
    for problem in formats.PROBLEMS:
        own = [e for e in planned if e.labels["problem"] == problem]
        recipes = [e.config["recipe"] for e in own]
        assert len({(recipe["steps"], recipe["depth"]) for recipe in recipes}) == 1
        assert len({recipe["sign_rate"] for recipe in recipes if "sign_rate" in recipe}) == 1
        used = {type(build_weights(recipe["weights"])).__name__ for recipe in recipes if "weights" in recipe}
        assert used == {"OneBit", "OneBitSVID", "BitNet", "Ternary", "LittleBit", "Fixed"}
        assert {e.config["problem"]["seed"] for e in own} == {0, 1}
    for e in planned:
        assert json.loads(json.dumps(e.config)) == e.config
    if quick:
        assert {name for name, _ in names} <= {e.name for e in formats.experiments(0, 2, False)}


@pytest.mark.slow
def test_every_config_of_the_blocks_builds_at_the_rate_it_names() -> None:
    for e in formats.experiments(0, 1, False, ["blocks"]):
        network = build_run(e.config, Path()).network
        assert network.depth == formats.DEPTH
        format = build_weights(e.config["recipe"].get("weights", "OneBit"))
        if isinstance(format, LittleBit):
            held = network.maps["W"]
            entries = held.copies * held.structure.size
            assert 0.6 * format.bits_per_weight < held.bits() / entries <= format.bits_per_weight


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = {
        "blocks": {"kind": "BlockSparseRecovery", "blocks": 2, "m": 6, "n": 8},
        "sparse": {"kind": "SparseRecovery", "m": 12, "n": 16},
    }

    def networks(problem: str, steps: int) -> dict[str, tuple[str, dict[str, Any]]]:
        common = {"depth": 2, "steps": 4, "batch": 8, "distinct": 1}
        found = {
            f"{name}, untied": (name, {"name": "learned_signs", **common, "weights": {"kind": name}})
            for name in ("BitNet", "Ternary")
        }
        common = {"depth": 2, "steps": 4, "batch": 8}
        fixed = {"name": "scalars_only", **common, "weights": {"kind": "Fixed"}}
        return found | {formats.NOTHING: (formats.NOTHING, fixed)}

    monkeypatch.setattr(formats, "PROBLEMS", problems)
    monkeypatch.setattr(formats, "networks", networks)
    monkeypatch.setattr("unrollbit.cli.studies.experiment.in_parallel", in_turn)


def in_turn(run: Any, tasks: Any, workers: int, describe: Any) -> Any:
    for task in tasks:
        yield run(task)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_study_trains_times_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, result = tmp_path / "out", tmp_path / "result.json"
    command = ["reproduce", "formats", "--quick", "--out", str(out), "--json", str(result), "--seeds", "1"]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for word in ("Formats: sparse recovery", "BitNet, untied", "W = A", "bits/link", "ms"):
        assert word in printed
    report = json.loads(result.read_text())
    table = {(line["problem"], line["network"]): line for line in report["table"]}
    assert len(table) == len(report["rows"]) == 6
    for line in table.values():
        assert line["file_bytes"] > 0
        assert line["milliseconds"] > 0
        assert line["spread"] == 0.0
    one, three = (table["sparse", f"{name}, untied"]["bits_per_link"] for name in ("BitNet", "Ternary"))
    assert (three - one) * 2 * 12 * 16 == pytest.approx(-(-8 * 12 * 16 // 5) + 32 - (12 * 16 + 16))
    before = report["rows"][0]["before"]
    assert {"nmse_db", "nmse_db_mean_of_db"} <= set(before)
    for suffix in ("png", "pdf"):
        assert (out / "figures" / f"formats.{suffix}").stat().st_size > 10_000


def test_mistakes_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["reproduce", "formats", "--problems", "images"])
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "Quaternary"}, "unknown kind of Format 'Quaternary'; expected one of: Anchored, BitNet"),
        (
            {"kind": "Designed", "inner": {"kind": "Ternary"}},
            "unknown kind of OneBit 'Ternary'; expected one of: OneBit",
        ),
        ({"kind": "Ternary", "planes": 2}, "Ternary has no field 'planes'; its fields: per_byte"),
        ({"kind": "BitNet", "scale": "row"}, "BitNet has no field 'scale'; its fields: surrogate"),
        ({"kind": "LittleBit", "bits": 0.1}, "LittleBit has no field 'bits'; its fields: bits_per_weight"),
        ({"kind": "OneBitSVID", "copies": 3}, "OneBitSVID has no field 'copies'"),
    ],
)
def test_weights_tables_name_what_they_take(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_weights(spec)
