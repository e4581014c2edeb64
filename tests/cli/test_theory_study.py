"""The study of all theorems: its networks, its random instances, and what it calls broken."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from unrollbit.cli import main
from unrollbit.cli.config import build_run
from unrollbit.cli.studies import theory
from unrollbit.cli.studies.theory_networks import experiments
from unrollbit.theory.normal_form import normal_form
from unrollbit.theory.registry import known, theorems
from unrollbit.theory.report import upper_bound
from unrollbit.theory.summary import summarise

EVERYWHERE = {"S1", "S1h", "S2", "S3", "S4", "N1", "N1free", "C7", "C6"}


def test_the_networks_cover_forms_shapes_formats_and_penalties():
    planned = experiments(0, quick=False)
    names = [experiment.name for experiment in planned]
    assert len(set(names)) == len(names) >= 20
    seen = {(e.labels["form"], e.labels["problem"]) for e in planned}
    assert {form for form, _ in seen} == {"ista", "alista", "lista", "gd", "admm"}
    assert {problem.split(",")[0] for _, problem in seen} == {"wide", "tall", "masked"}
    assert {e.labels["weights"] for e in planned} >= {"one bit", "full precision", "two planes"}
    assert {e.labels["tied"] for e in planned} == {True, False}
    assert {None if e.labels["penalty"] is None else e.labels["penalty"]["kind"] for e in planned} == {
        None,
        "Contraction",
        "SupportContraction",
    }
    assert {e.name for e in experiments(0, quick=True)} <= set(names)


@pytest.mark.long
@pytest.mark.grid(6)
@pytest.mark.parametrize("planned", experiments(0, quick=False), ids=lambda e: e.name)
def test_every_network_has_a_normal_form(planned):
    config = json.loads(json.dumps(planned.config))
    net = build_run(config, Path()).network
    wanted = "ista" if planned.labels["form"] == "alista" else planned.labels["form"]
    assert normal_form(net).form == wanted


@pytest.mark.slow
def test_random_networks_exercise_the_theorems_without_a_violation():
    group, reports = theory._check(theory._Random(0, 48, 0))
    assert group == "random"
    rows = {row.theorem: row for row in summarise(reports)}
    assert not [name for name, row in rows.items() if theory._is_broken(row)]
    layers = {name for name, statement in theorems().items() if statement.family != "generalization"}
    assert {name for name, row in rows.items() if row.applicable} == layers
    assert all(rows[name].applicable > 20 for name in EVERYWHERE)
    assert rows["S3"].tightness > 0.9  # theory.md: 1.0
    assert 0.1 < rows["S1"].tightness < rows["S1h"].tightness
    assert 0.2 < rows["N1"].tightness < 0.5
    assert rows["N2"].tightness == pytest.approx(1.0)
    assert 0.25 < rows["N1path"].tightness < 0.73
    assert 0.3 < rows["C2"].tightness < 0.74


def test_a_violation_is_broken_unless_chance_allows_it():
    good = upper_bound("S1", 1.0, 0.5, 9.0)
    bad = replace(good, status="violated")
    assert theory._is_broken(summarise([good] * 99 + [bad])[0])
    assert not theory._is_broken(summarise([good] * 99)[0])
    probable = [replace(report, theorem="C6") for report in [good] * 99 + [bad]]
    assert not theory._is_broken(summarise(probable)[0])
    assert theory._is_broken(summarise(probable[:80] + probable[-1:] * 20)[0])


@pytest.mark.slow
@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
def test_the_study_runs_from_nothing(quick, tmp_path):
    arguments = ["reproduce", "theory", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "r.json")]
    assert main(arguments + ["--quick"] * quick) == 0
    result = json.loads((tmp_path / "r.json").read_text())
    assert sum(row["gain"] >= theory.GAIN_DB for row in result["trained_networks"]) >= (3 if quick else 20)
    for group in ("random", "trained"):
        assert (tmp_path / "out" / "figures" / f"tightness-{group}.png").stat().st_size > 10_000
    assert {row["group"] for row in result["rows"]} == {"random", "trained"}
    for row in result["rows"]:
        allowed = row["applicable"] if known(row["theorem"]).certainty == "probable" else 0
        assert row["violated_instances"] <= allowed
    assert result["checks"] == sum(row["applicable"] for row in result["rows"])


def test_a_study_refuses_outputs_that_cannot_be_written_before_it_begins(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["reproduce", "theory", "--out", str(tmp_path / "file")]) == 2
    assert "is a file, so no folder" in capsys.readouterr().err


def test_a_config_that_training_refuses_leaves_no_run_folder(tmp_path, capsys):
    config = tmp_path / "wide.toml"
    config.write_text(
        '[problem]\nkind = "SparseRecovery"\nm = 8\nn = 16\n[network]\nalgorithm = {kind = "ISTA"}\ndepth = 2\n'
        '[[stages]]\nsteps = 1\npenalties = [{kind = "Contraction"}]\n'
    )
    assert main(["train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert "SupportContraction" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
