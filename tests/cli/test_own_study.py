"""Worked cases: data, TOML and Python agree; init writes them; the study trains and compares them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrollbit import FISTA, load
from unrollbit.baselines import Classic, LinearMMSE
from unrollbit.cli.cases import CASES
from unrollbit.cli.config import build_run, read_config
from unrollbit.cli.main import main
from unrollbit.cli.studies import own
from unrollbit.cli.studies.own import ONE_BIT, verdict
from unrollbit.problems import Problem

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "own"


def script_of(name: str) -> Path:
    return EXAMPLES / f"{name.replace('-', '_')}.py"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in ("pylops", "pywt"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "detectors", raising=False)
    return tmp_path


def called(config: dict[str, Any]) -> str:
    """How Python calls the recipe of a config."""
    recipe = config["recipe"]
    arguments = ", ".join(f"{key}={recipe[key]}" for key in ("depth", "steps", "batch") if key in recipe)
    return f"(problem, {arguments})"


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CASES if name != "coded-aperture-64"])
def test_python_and_toml_are_one_problem(name: str, there: Path) -> None:
    """Both from the data that init writes."""
    assert main(["init", name, "--data"]) == 0
    text = script_of(name).read_text()
    namespace: dict[str, Any] = {}
    exec(text[: text.index("recipe = ")], namespace)
    config = read_config(there / f"{name}.toml")
    found = namespace["problem"]
    told = Problem.from_spec(Problem.beside(config["problem"], there))
    x = found.samples[2][:3]
    np.testing.assert_allclose(x, told.samples[2][:3], atol=1e-6)
    y, same = found.operator(x), told.operator(x)
    np.testing.assert_allclose(y, same, atol=1e-5 * float(abs(y).max()))
    assert (found.noise, found.signal_shape, found.transform) == (told.noise, told.signal_shape, told.transform)
    assert len(text.splitlines()) <= 25
    assert called(config) in text  # the same network


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_python_trains_and_packs(name: str, there: Path) -> None:
    """From data to a packed file, as the script is but for its steps; the TOML file trains the same network."""
    assert main(["init", name, "--data"]) == 0
    config = read_config(there / f"{name}.toml")
    text, arguments = script_of(name).read_text(), called(config)
    few = {"depth": 2, "steps": 4, "batch": 4}
    small = text.replace(arguments, "(problem, depth=2, steps=4, batch=4)")
    small = small.replace("fit(recipe, problem)", "fit(recipe, problem, progress=False)")
    namespace: dict[str, Any] = {}
    exec(compile(small, str(script_of(name)), "exec"), namespace)
    run = build_run({**config, "recipe": {**config["recipe"], **few}}, there)
    packed = load(there / "network.safetensors")
    assert [(m.shape, m.copies) for m in packed.network.maps.values()] == [
        (m.shape, m.copies) for m in run.network.maps.values()
    ]
    _, y = run.problem.split("test").all()  # pyright: ignore[reportGeneralTypeIssues]
    assert np.isfinite(packed(y[:3])).all()


def test_all_cases_have_both_forms() -> None:
    assert {script_of(name).name for name in CASES} == {file.name for file in EXAMPLES.glob("*.py")}
    for case in CASES.values():
        assert case.text().startswith("#")


def test_init_lists_and_overwrites_nothing(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in CASES)
    assert main(["init", "measured-matrix", "--out", "mine.toml"]) == 0
    assert (there / "mine.toml").read_text() == CASES["measured-matrix"].text()
    assert not (there / "matrix.npy").exists()
    for command, message in (
        (["init", "measured-matrix", "--out", "mine.toml"], "mine.toml is there already"),
        (["init", "nothing"], "case: expected one of 'coded-aperture'"),
        (["init"], "expected a CASE"),
        (["init", "ecg", "--out", "mine.toml/other.toml"], "mine.toml is a file"),
        (["init", "ecg", "--out", "other.toml", "--json", "other.toml"], "other.toml is written by another option"),
        (["init", "ecg", "--data", "--out", "other.toml", "--json", "train.npy"], "train.npy is written by another"),
    ):
        assert main(command) == 2
        assert message in capsys.readouterr().err
    assert sorted(file.name for file in there.iterdir()) == ["mine.toml"]
    (there / "matrix.npy").write_bytes(b"mine")
    assert main(["init", "measured-matrix", "--data"]) == 2
    assert "matrix.npy is there already" in capsys.readouterr().err
    assert (there / "matrix.npy").read_bytes() == b"mine"
    assert not (there / "measured-matrix.toml").exists()


def test_data_is_that_of_its_seed(there: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        CASES["measured-matrix"].write_data(there / folder, seed)
    first, again, other = (np.load(there / folder / "matrix.npy") for folder in "abc")
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def in_turn(run: Any, tasks: Any, workers: int, describe: Any, **options: Any) -> Any:
    for task in tasks:
        outcome = run(task)
        assert isinstance(describe(outcome), str)
        yield outcome


@pytest.mark.long
@pytest.mark.parametrize("name", ["measured-matrix", pytest.param("ecg", marks=pytest.mark.slow)])
def test_the_study_compares_on_equal_signals(
    name: str, there: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("unrollbit.cli.studies.experiment.in_parallel", in_turn)
    if name == "measured-matrix":  # two that compile fast
        few = lambda problem, training, *_: [LinearMMSE.of(training, None, None), Classic(FISTA(), 3)]  # noqa: E731
        monkeypatch.setattr("unrollbit.baselines.comparison.suited", few)
    assert main(["reproduce", "own", "--quick", "--cases", name, "--json", "own.json", "--out", "out"]) == 0
    report = json.loads((there / "own.json").read_text())
    rows = report["rows"]
    methods = [row["method"] for row in rows]
    assert len(methods) == len(set(methods))
    assert {"zero", "untrained", "linear MMSE", "fista", "classic", "full precision", ONE_BIT} <= set(methods)
    assert ("total variation" in methods) == (name == "ecg")
    for row in rows:
        assert set(row) >= {"problem", "seed", "method", "nmse_db", "psnr_db", "seconds"}
        assert (row["problem"], row["seed"], row["psnr_db"]) == (name, 0, None)
        assert (row["seconds"] > 0) == (row["method"] in ("full precision", ONE_BIT))
    assert next(row["nmse_db"] for row in rows if row["method"] == "zero") == pytest.approx(0, abs=1e-4)
    assert [row["nmse_db"] for row in report["summary"]] == [[row["nmse_db"]] for row in rows]
    (found,) = report["verdicts"]
    assert found["said"] in " ".join(capsys.readouterr().out.split())


def test_verdicts_by_hand() -> None:
    levels = {"zero": 0.0, "untrained": -5.0, "classic": -9.0, "omp": -12.0, "full precision": -10.0, ONE_BIT: -9.2}
    rows = [
        {"problem": "a", "seed": 0, "method": name, "nmse_db": level, "psnr_db": None} for name, level in levels.items()
    ]
    assert verdict("a", 0, rows)["said"] == ("The network is not ahead of omp (-12.0 dB against its -9.2 dB of NMSE).")
    assert [word.split(", ")[1] for word in verdict("a", 0, rows)["behind"]] == ["full precision -10.00 dB"]
    rows[-1]["nmse_db"] = -9.6
    assert not verdict("a", 0, rows)["behind"]
    rows[-1]["nmse_db"] = 0.4
    assert len(verdict("a", 0, rows)["behind"]) == 4
    assert own.MARGIN == 0.5
