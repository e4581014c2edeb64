"""Studies as plans: names of their own, configs that build, equal steps; their tables, figures and mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrollbit.cli import main
from unrollbit.cli.config import build_run
from unrollbit.cli.reproduce import STUDIES
from unrollbit.cli.studies import ablation, all_signs, depth, experiment, open_l2o
from unrollbit.cli.studies.experiment import Experiment
from unrollbit.cli.tables import print_table
from unrollbit.formats import Fixed

PLANS: dict[str, Callable[[bool], list[Experiment]]] = {
    "open-l2o": lambda quick: [e for s in "abcd" for e in open_l2o.experiments(s, seed=0, quick=quick)],
    "all-signs": lambda quick: all_signs.experiments(0, quick),
    "depth": lambda quick: depth.experiments(0, quick),
    "ablation": lambda quick: ablation.experiments(0, 1 if quick else 3, quick),
}
ELSEWHERE = {
    "statements",
    "robustness",
    "hard-signals",
    "theory",
    "formats",
    "denoiser",
    "language",
    "physics",
    "pibinn",
    "images",
    "own",
}  # tested in files of their own


def invoke(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


def shrunken(config: Any) -> dict[str, Any]:
    """The same config for A of 16 rows, 32 columns and a network of at most 4 layers."""
    small = json.loads(json.dumps(config))
    small["problem"] |= {"m": 16, "n": 32}
    for table in ("network", "recipe"):
        if table in small:
            small[table]["depth"] = min(small[table]["depth"], 4)
            if small[table].get("distinct"):
                small[table]["distinct"] = min(small[table]["distinct"], 4)
    for stage in small.get("stages", []):
        stage["depth"] = None if stage.get("depth") is None else min(stage["depth"], 4)
    return small


def steps_of(config: dict[str, Any]) -> int:
    return sum(stage.steps for stage in build_run(config, Path()).stages)


def test_every_study_that_trains_is_planned_here() -> None:
    assert set(PLANS) | ELSEWHERE == set(STUDIES)


@pytest.mark.parametrize("study", PLANS)
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_experiments_have_names_of_their_own_and_are_json(study: str, quick: bool) -> None:
    planned = PLANS[study](quick)
    names = [(e.name, e.seed) for e in planned]
    assert len(set(names)) == len(names) >= 8
    assert all(name == experiment.slug(name) and name for name, _ in names)
    labels = [(e.labels.get("setting"), e.labels["network"], e.labels.get("planes"), str(e.config)) for e in planned]
    assert len(set(labels)) == len(labels)
    for e in planned:
        assert json.loads(json.dumps(e.config)) == e.config
        assert e.config["problem"]["seed"] == e.seed
    if quick:
        assert {name for name, _ in names} <= {e.name for e in PLANS[study](False)}


@pytest.mark.long
@pytest.mark.parametrize(
    "study",
    [
        "open-l2o",
        "all-signs",
        "depth",
        "ablation",
    ],
)
def test_every_config_builds(study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if study == "ablation":
        monkeypatch.setattr(ablation, "DEPTH", 4)  # its stages name their depths
    configs = {json.dumps(shrunken(e.config), sort_keys=True): e for e in PLANS[study](study == "ablation")}
    assert len(configs) >= 4
    wrong = {}
    for text, planned in configs.items():
        try:
            run = build_run(json.loads(text), Path())
        except ValueError as error:
            wrong[planned.name] = str(error)
            continue
        assert run.network.operator.shape == (16, 32), planned.name
        assert max(stage.depth or run.network.depth for stage in run.stages) == run.network.depth == 4, planned.name
    assert wrong == {}


def test_rows_of_a_study_are_trained_for_as_many_steps_as_it_says() -> None:
    base = {"first": 0.6, "weights": Fixed(), "rates": {"scalars": 1e-2}, "distinct": 1}
    changes = [{}, {"first": 0.0}, {"first": 0.0, "grown": False}, {"first": 0.0, "loss": {"kind": "LogNMSE"}}]
    for change in changes:
        config = ablation.config({**base, **change}, 600, 0)
        config["problem"] |= {"m": 16, "n": 32}
        assert steps_of(config) == pytest.approx(600, abs=3)
    for planned in depth.experiments(0, False):
        if planned.labels["network"] == "W = A":
            config = {**planned.config, "problem": {**planned.config["problem"], "m": 16, "n": 32}}
            assert steps_of(config) == pytest.approx(900, abs=5)


def test_the_published_levels_are_those_of_the_issue() -> None:
    names = ("LISTA", "LISTA-CP", "LISTA-CPSS", "LAMP", "ALISTA", "GLISTA")
    levels = {
        "a": (-35, -30, -63, -55, -79, -55),
        "b": (-18, -15, -20, -16, -20, -22),
        "c": (-13, -19, -26, -24, -14, -31),
        "d": (-34, -25, -30, -53, -81, -26),
    }
    assert {s: dict(zip(names, values, strict=True)) for s, values in levels.items()} == open_l2o.PUBLISHED
    assert set(open_l2o.SETTINGS) == set(open_l2o.TITLES) == set(levels)
    for setting in levels:
        planned = {e.labels["network"]: e.labels for e in open_l2o.experiments(setting, seed=0, quick=False)}
        assert {n: e["published"] for n, e in planned.items() if e["published"] is not None} == {
            name: level for name, level in open_l2o.PUBLISHED[setting].items() if name in planned
        }
        assert {"LISTA", "LISTA-CP", "LISTA-CPSS", "ALISTA"} <= set(planned)


def in_series(run: Any, tasks: Any, workers: int, describe: Any) -> Any:
    return (run(task) for task in tasks)


@pytest.mark.slow
def test_open_l2o_runs_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full, signs = open_l2o.networks, open_l2o.sign_networks
    monkeypatch.setattr(open_l2o, "SETTINGS", {s: {"m": 16, "n": 32} for s in "abcd"})
    monkeypatch.setattr(open_l2o, "DEPTH", 2)
    monkeypatch.setattr(open_l2o, "_QUICK", ("LISTA-CP", "single-pixel, W = A"))
    monkeypatch.setattr(open_l2o, "networks", lambda setting, steps: full(setting, 2))
    monkeypatch.setattr(open_l2o, "sign_networks", lambda steps: signs(2))
    monkeypatch.setattr(experiment, "in_parallel", in_series)
    out, result = tmp_path / "out", tmp_path / "result.json"
    arguments = ("reproduce", "open-l2o", "--quick", "--setting", "a", "--out", out, "--json", result)
    assert invoke(*arguments) == 0
    report = json.loads((out / "report.json").read_text())
    assert report == json.loads(result.read_text())
    assert (report["study"], report["seed"], report["quick"]) == ("open-l2o", 0, True)
    assert {row["network"]: row["nmse_db_mean_of_db"] for row in report["published"]} == open_l2o.PUBLISHED["a"]
    assert {row["setting"] for row in report["published"]} == {"a"}
    rows = report["rows"]
    assert [row["network"] for row in rows] == ["LISTA-CP", "single-pixel, W = A"]
    assert [row["published"] for row in rows] == [-30, None]
    assert [row["config"]["problem"]["m"] for row in rows] == [16, 16]
    assert all(row["signals"] == 2000 and np.isfinite(row["nmse_db_mean_of_db"]) for row in rows)
    assert rows[1]["bits_per_link"] < 1 < 32 <= rows[0]["bits_per_link"]
    assert rows[1]["resident_per_entry"] < 8 < 64 < rows[0]["resident_per_entry"]  # signs; A and matrices of floats
    for name in ("layers", "bits"):
        for suffix in ("pdf", "png"):
            assert (out / "figures" / f"open-l2o-a-{name}.{suffix}").stat().st_size > 3000
    printed = capsys.readouterr().out
    assert "Open-L2O, setting a: noiseless" in printed
    for name in (*(row["network"] for row in rows), *open_l2o.PUBLISHED["a"]):
        assert name in printed
    monkeypatch.setattr(experiment, "in_parallel", lambda run, tasks, *_: [pytest.fail(str(task)) for task in tasks])
    assert invoke(*arguments) == 0  # nothing is trained again
    assert json.loads((out / "report.json").read_text())["rows"] == rows


def faked(planned: list[Experiment], out: Path, *, signals: int, workers: int) -> list[dict[str, Any]]:
    """Rows as they come from trainings."""
    assert signals == 2000
    rows = []
    for number, e in enumerate(planned):
        figures = {"nmse_db_mean_of_db": -30.0 - number, "nmse_db": -20.0 - number, "failures": 0.01}
        bits = {"bits_per_link": 1.0 + number, "resident_per_entry": 32.0 + number}
        size = e.config.get("recipe", e.config.get("network"))["depth"]
        row = {"name": e.name, "seed": e.seed, "depth": size, **figures, **bits, **e.labels}
        rows.append({**row, "training": {"nmse_db_mean_of_db": -31.0 - number}})
    return rows


@pytest.mark.long
@pytest.mark.parametrize(("name", "study"), [("depth", depth), ("all-signs", all_signs), ("ablation", ablation)])
def test_studies_print_a_table_and_draw_a_figure(
    name: str, study: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(study, "run_all", faked)
    monkeypatch.setattr(study, "PROBLEM", {**study.PROBLEM, "m": 16, "n": 32})
    assert invoke("reproduce", name, "--quick", "--out", tmp_path) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    printed = capsys.readouterr().out
    assert len(report["rows"]) == len(PLANS[name](True))
    assert all(row["network"] in " ".join(printed.split()) for row in report["rows"])
    assert "-31.0" in printed
    for suffix in ("pdf", "png"):
        assert (tmp_path / "figures" / f"{name}.{suffix}").stat().st_size > 3000
    if name == "all-signs":
        errors = {row["planes"]: row["operator_error_db"] for row in report["rows"]}
        assert 0 > errors[1] > errors[2] + 3 > errors[4] + 6


def test_ablation_compares_each_seed_with_its_own_reference() -> None:
    def row(network: str, seed: int, level: float, ingredient: str = "bits") -> dict[str, Any]:
        figures = {"nmse_db_mean_of_db": level, "nmse_db": level / 2, "failures": 0.1 * seed, "bits_per_link": 1.0}
        return {"network": network, "ingredient": ingredient, "seed": seed, **figures}

    rows = [row("tied", 1, -30.0), row(ablation.BASE, 0, -40.0, ""), row(ablation.BASE, 1, -44.0, "")]
    table = ablation.summarise([*rows, row("tied", 0, -35.0)])
    assert [line["network"] for line in table] == ["tied", ablation.BASE]
    tied, base = table
    assert (tied["ingredient"], tied["mean"], tied["spread"]) == ("bits", -32.5, 5.0)
    assert tied["changes"] == [14.0, 5.0]
    assert tied["change"] == 9.5
    assert (tied["nmse_db"], tied["failures"], tied["bits_per_link"]) == (-16.25, 0.05, 1.0)
    assert (base["mean"], base["spread"], base["change"], base["changes"]) == (-42.0, 4.0, 0.0, [0.0, 0.0])


def test_mistakes_are_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (("open-l3o",), "invalid choice: 'open-l3o'"),
        (("open-l2o", "--setting", "e"), "--setting: invalid choice: 'e'"),
        (("ablation", "--seeds", "0"), "--seeds: expected an integer from 1 to"),
        (("depth", "--workers", "none"), "--workers: expected an integer from 1 to"),
        ((), "the following arguments are required: STUDY"),
    ):
        with pytest.raises(SystemExit) as stop:
            invoke("reproduce", *arguments)
        assert stop.value.code == 2
        captured = capsys.readouterr()
        (line,) = [line for line in captured.err.splitlines() if "error:" in line]
        assert message in line
        assert captured.out == ""


def test_tables_print_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("runs", ("network",), [("runs[old]/net",)])
    assert "runs[old]/net" in capsys.readouterr().out


def test_names_of_rows_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("reproduce", "open-l2o", "--setting", "a", "--networks", "ALISTA", "BLISTA", "--out", tmp_path / "out")
    assert invoke(*arguments) == 2
    assert "--networks: unknown BLISTA; expected some of" in capsys.readouterr().err
