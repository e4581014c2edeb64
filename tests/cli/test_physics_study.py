"""``unrollbit reproduce physics`` on two small problems; the full study takes hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unrollbit import ADMM
from unrollbit.cli.config import build_run
from unrollbit.cli.main import main
from unrollbit.cli.studies import physics, physics_classic, physics_table
from unrollbit.formats import Anchored
from unrollbit.problems import Problem

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
    monkeypatch.setattr(
        physics, "ALGORITHMS", {"FISTA": tuple(SMALL), "GradientDescent": ("spikes",), "ADMM": ("spikes",)}
    )
    monkeypatch.setattr(physics, "DEPTH", 2)
    monkeypatch.setattr(physics_classic, "in_parallel", in_turn)
    monkeypatch.setattr("unrollbit.cli.studies.experiment.in_parallel", in_turn)


@pytest.mark.slow
@pytest.mark.usefixtures("small")
def test_the_study_trains_compares_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["reproduce", "physics", "--quick", "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    titles = ("FISTA unrolled", "Gradient descent unrolled", "ADMM unrolled")
    for word in (*titles, "test NMSE in dB", "box blur", "spikes", "1 plane", "gap"):
        assert word in printed
    report = json.loads((out / "report.json").read_text())
    assert len(report["rows"]) == 4 * 4
    assert len(report["classic"]) == 4
    table = {(line["algorithm"], line["problem"], line["method"]): line for line in report["table"]}
    assert len(table) == len(report["table"]) == 4 * (1 + 4)  # nothing converges in a quick one
    for row in report["rows"]:
        one, whole = (table[row["algorithm"], row["problem"], name] for name in ("start + 1 plane", "full precision"))
        assert one["gap_db"] == pytest.approx(one["nmse_db"] - whole["nmse_db"])
        assert one["file_bytes"] < whole["file_bytes"]
        assert table[row["algorithm"], row["problem"], row["network"]]["nmse_db"] == pytest.approx(row["nmse_db"])
    assert (out / "figures" / "images-fista-box-blur.png").stat().st_size > 10_000
    assert not (out / "figures" / "images-fista-spikes.png").exists()
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.json") if "figures" not in str(path)}
    assert main(command) == 0  # nothing is trained or tuned twice
    for path, time in kept.items():
        assert path.name == "report.json" or path.stat().st_mtime_ns == time


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ([], {"FISTA": ["box blur", "spikes"], "GradientDescent": ["spikes"], "ADMM": ["spikes"]}),
        (["--algorithms", "ADMM", "--problems", "spikes", "box blur"], {"ADMM": ["box blur", "spikes"]}),
        (
            ["--algorithms", "GradientDescent", "FISTA", "--problems", "spikes"],
            {"FISTA": ["spikes"], "GradientDescent": ["spikes"]},
        ),
    ],
)
def test_algorithms_and_problems_are_options(
    chosen: list[str], expected: dict[str, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, list[str]] = {}

    def solvers(algorithm: str, specs: Any, *rest: Any) -> Any:
        asked[algorithm] = list(dict.fromkeys(name for name, _ in specs))
        return {key: {"algorithm": algorithm, "parameters": {}} for key in specs}

    monkeypatch.setattr(physics, "classic_solvers", solvers)
    for name in ("experiments", "run_all", "summarise", "show", "draw"):
        monkeypatch.setattr(physics, name, lambda *rest, **options: [])
    assert main(["reproduce", "physics", "--quick", "--out", str(tmp_path / "out"), *chosen]) == 0
    assert asked == expected
    assert list(asked) == list(expected)  # tables come in the study's order


@pytest.mark.parametrize(
    ("algorithm", "parameters"),
    [("FISTA", {"regularisation": 0.25}), ("GradientDescent", {}), ("ADMM", {"regularisation": 0.25, "rho": 0.5})],
)
def test_networks_start_at_the_tuned_solver(algorithm: str, parameters: dict[str, float], tmp_path: Path) -> None:
    planned = physics.experiments(algorithm, "spikes", {**SMALL["spikes"], "seed": 3}, {"parameters": parameters}, True)
    networks = ["W = start", "full precision", "start + 1 plane", "start + 2 planes"]
    assert [experiment.labels["network"] for experiment in planned] == networks
    assert len({experiment.name for experiment in planned}) == 4
    for experiment in planned:
        described = experiment.config["recipe"]["algorithm"]
        assert described["kind"] == algorithm
        assert {name: described[name] for name in parameters} == parameters
        assert (experiment.seed, experiment.labels["algorithm"]) == (3, algorithm)
    network: Any = build_run(planned[2].config, tmp_path).network
    assert isinstance(network.maps["W"].format, Anchored)
    assert (network.maps["W"].held_bits == 0) == (algorithm != "ADMM")  # added to A itself, or to what A determines


@pytest.mark.long
def test_the_classic_admm_takes_its_best_penalty_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(physics_classic, "in_parallel", in_turn)
    specs = {("spikes", 0): {**SMALL["spikes"], "seed": 0}}
    found = physics_classic.classic_solvers("ADMM", specs, 4, tmp_path, True, 1)
    row = found["spikes", 0]
    solver = physics_classic.solver_of(row)
    assert isinstance(solver, ADMM)
    assert {"regularisation": solver.regularisation, "rho": solver.rho} == row["parameters"]
    monkeypatch.setattr(physics_classic, "_tuned", lambda task: pytest.fail("tuned again"))
    assert physics_classic.classic_solvers("ADMM", specs, 4, tmp_path, True, 1) == found


def test_scales_go_where_they_cost_little() -> None:
    scales = {name: physics.scale_of(Problem.from_spec(spec)) for name, spec in SMALL.items()}
    scales["wide blur"] = physics.scale_of(Problem.from_spec({**SMALL["box blur"], "width": 5}))
    scales["inpainting"] = physics.scale_of(Problem.from_spec({"kind": "Inpainting", "size": 16}))
    assert scales == {"box blur": "layer", "spikes": "layer", "wide blur": "column", "inpainting": "layer"}


def test_lines_are_means_over_seeds_and_gaps_of_each_seed() -> None:
    levels = {
        ("W = start", 0): -3.0,
        ("W = start", 1): -4.0,
        ("full precision", 0): -8.0,
        ("full precision", 1): -6.0,
        ("start + 1 plane", 0): -7.0,
        ("start + 1 plane", 1): -6.5,
        ("start + 2 planes", 0): -7.5,
        ("start + 2 planes", 1): -7.0,
    }
    rows = [
        {"problem": "spikes", "network": network, "seed": seed, "nmse_db": level, "file_bits": 80}
        | {"bits_per_active_link": 0.5}
        for (network, seed), level in levels.items()
    ]
    solvers = {("spikes", seed): {"nmse_db": -2.0 - seed} for seed in (0, 1)}
    solvers["spikes", 0]["converged_nmse_db"] = -9.0
    table = {line["method"]: line for line in physics_table.summarise("ADMM", rows, solvers)}
    assert list(table) == ["classic", "classic, converged", *physics_table.NETWORKS]
    levels = [table[method]["nmse_db"] for method in ("classic", "classic, converged", "full precision")]
    assert levels == [-2.5, -9.0, -7.0]
    assert [table[method]["seeds"] for method in ("classic", "classic, converged")] == [[0, 1], [0]]
    assert (table["start + 1 plane"]["gap_db"], table["start + 1 plane"]["largest_gap_db"]) == (0.25, 1.0)
    assert table["full precision"]["spread_db"] == 2.0
    assert table["start + 1 plane"]["file_bytes"] == 10
