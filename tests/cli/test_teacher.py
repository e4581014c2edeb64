"""A teacher in a config: where it is found, what is refused before anything is written, and runs that follow it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unrollbit import AMP, FullyConnected, Unrolled, load, pack
from unrollbit.cli import main
from unrollbit.cli.config import build_run, read_config
from unrollbit.formats import FullPrecision, OneBit
from unrollbit.networks import Activations
from unrollbit.problems import SparseRecovery
from unrollbit.training import Distillation, Event, TrainingReport
from unrollbit.training.check import check_run

EXAMPLES = Path(__file__).parents[2] / "examples" / "configs"
PROBLEM = SparseRecovery(8, 16, seed=1)
HEAD = "teacher = 'nets/teacher.safetensors'\n"
TABLES = """
[problem]
kind = "SparseRecovery"
m = 8
n = 16
seed = 1
[network]
depth = 2
algorithm = { kind = "ISTA" }
activations = { bits = 8, normalisation = "input" }
[[stages]]
steps = 2
batch = 4
loss = { kind = "Distillation", layers = 0.5, agreement = "direction" }
"""
RECIPE = TABLES[: TABLES.index("[network]")] + "[recipe]\nname = 'distilled'\ndepth = 2\nsteps = 2\nbatch = 4\n"


def invoke(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a teacher, and others that a run refuses."""
    folder = tmp_path_factory.mktemp("teachers")
    nets = folder / "nets"
    teacher = Unrolled(AMP(), PROBLEM, 3, FullPrecision())
    pack(teacher, problem=PROBLEM).save(nets / "teacher.safetensors")
    elsewhere = SparseRecovery(8, 16, seed=2)
    pack(Unrolled(AMP(), elsewhere, 3), problem=elsewhere).save(nets / "elsewhere.safetensors")
    pack(teacher).save(nets / "bare.safetensors")
    pack(Unrolled(AMP(), SparseRecovery(9, 16), 3)).save(nets / "shape.safetensors")
    pack(Unrolled(AMP(), PROBLEM, 1), problem=PROBLEM).save(nets / "shallow.safetensors")
    pack(teacher, problem=PROBLEM).save(folder / "run" / "network.safetensors")
    (nets / "text.safetensors").write_text("hello")
    return folder


def described(folder: Path, text: str):
    path = folder / "config.toml"
    path.write_text(text)
    return build_run(read_config(path), folder)


def test_paths_are_relative_to_the_config(folder: Path) -> None:
    expected = load(folder / "nets" / "teacher.safetensors").trainable()
    absolute = (folder / "nets" / "teacher.safetensors").as_posix()
    for name in ("nets/teacher.safetensors", "run", "nets/bare.safetensors", absolute):
        run = described(folder, f"teacher = '{name}'\n{TABLES}")
        assert isinstance(run.teacher, Unrolled)
        np.testing.assert_array_equal(run.teacher.maps["W"].dense(), expected.maps["W"].dense())
    assert run.stages[0].loss == Distillation(layers=0.5, agreement="direction")
    assert run.network.activations == Activations(8, "input")
    assert described(folder, TABLES).teacher is None


def test_a_recipe_with_its_teacher(folder: Path) -> None:
    run = described(folder, HEAD + RECIPE + "weights = 'OneBit'\nactivations = { bits = 8 }\n")
    assert (run.network.depth, run.network.activations) == (2, Activations(bits=8))
    assert run.network.algorithm == AMP()  # the teacher's
    assert run.network.maps["W"].leaf.format == OneBit()
    loss = "loss = { kind = 'Distillation', hard = 0.0 }\n"
    assert described(folder, HEAD + RECIPE + loss).stages[0].loss == Distillation(hard=0.0)


def test_fully_connected_networks_have_activations_and_teachers(folder: Path) -> None:
    text = TABLES.replace('algorithm = { kind = "ISTA" }', "kind = 'FullyConnected'")
    run = described(folder, HEAD + text.replace("layers = 0.5", "layers = 0, base = { kind = 'LogNMSE' }"))
    assert isinstance(run.network, FullyConnected)
    assert run.network.activations == Activations(8, "input")
    check_run(run.network, run.problem, run.stages, teacher=run.teacher)


def test_train_hands_the_teacher_to_fit_and_keeps_its_path(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def fit(net: Any, problem: Any, stages: Any, **options: Any) -> TrainingReport:  # `fit` has its own tests
        given.update(options)
        for consumer in options["consumers"]:
            options["out"].mkdir(exist_ok=True)
            consumer(Event("started", 0, 2, "stage 1", run=None))  # pyright: ignore[reportArgumentType]
        return TrainingReport(1.0, 2, -3.0, [])

    monkeypatch.setattr("unrollbit.cli.run_folder.fit", fit)
    monkeypatch.setattr("unrollbit.plots.training_curves", lambda records: None)
    monkeypatch.setattr("unrollbit.plots.save", lambda figure, path: None)
    (folder / "config.toml").write_text(HEAD + TABLES)
    for resume in ([], ["--resume"]):
        assert invoke("train", folder / "config.toml", "--out", tmp_path / "run", "--quiet", *resume) == 0
        assert isinstance(given.pop("teacher"), Unrolled)
        assert given["resume"] == bool(resume)
    packed = load(tmp_path / "run" / "network.safetensors")
    assert packed.network.activations == Activations(8, "input")
    assert packed.training is not None
    assert packed.training["config"]["teacher"] == "nets/teacher.safetensors"


NO_LOSS = TABLES[: TABLES.index("loss =")]
MISTAKES: dict[str, tuple[str, str]] = {
    "missing file": (
        "teacher = 'none.safetensors'\n" + TABLES,
        "none.safetensors: no such file; expected a packed network",
    ),
    "no network": ("teacher = 'nets/text.safetensors'\n" + TABLES, "teacher: "),
    "empty folder": ("teacher = 'nets'\n" + TABLES, "no network.safetensors inside"),
    "no path": ("teacher = 3\n" + TABLES, "teacher: expected the path of a packed network or run folder, got 3"),
    "unused": (HEAD + NO_LOSS, "there is a teacher, but no stage follows it"),
    "unused by a recipe": (HEAD + RECIPE.replace("distilled", "full_precision"), "no stage follows it"),
    "none": (TABLES, "in a config the line teacher = 'network.safetensors'"),
    "none for the recipe": (RECIPE, "[recipe] distilled: needs teacher = 'network.safetensors' at the top"),
    "other physics": (
        HEAD.replace("teacher.", "elsewhere.") + TABLES,
        "was trained on other physics than those of [problem]",
    ),
    "other shape": (HEAD.replace("teacher.", "shape.") + TABLES, "the teacher is for physics of shape (9, 16)"),
    "too shallow": (
        HEAD.replace("teacher.", "shallow.") + TABLES,
        "the teacher has 1 layers, fewer than the 2 trained",
    ),
    "in the recipe": (HEAD + RECIPE + "teacher = 'x'\n", "[recipe] teacher: expected at the top of the config"),
    "unknown option": (HEAD + RECIPE + "step = 3\n", "it takes depth, weights, steps, sign_rate, physics"),
    "weight": (
        HEAD + TABLES.replace("layers = 0.5", "layers = -1"),
        "Distillation layers: expected a weight >= 0, got -1",
    ),
    "the old weight": (HEAD + TABLES.replace("layers = 0.5", "weight = 1"), "Distillation has no field 'weight'"),
    "bits": (HEAD + TABLES.replace("bits = 8", "bits = 1"), "Activations bits: expected an integer from 2 to 16"),
    "bits of a recipe": (
        HEAD + RECIPE + "activations = 8\n",
        "activations: expected a table such as {bits = 8}, got 8",
    ),
    "normalisation": (HEAD + TABLES.replace('"input"', '"both"'), "one of 'none', 'input', 'output', got 'both'"),
    "nothing learned": (HEAD + TABLES.replace("depth = 2", "depth = 2\nweights = 'Fixed'"), "act on learned maps"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_one_clear_line_and_leave_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    text, message = MISTAKES[case]
    (folder / "config.toml").write_text(text)
    assert invoke("train", folder / "config.toml", "--out", folder / "new", "--quiet") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "new").exists()


def test_the_example_names_a_teacher_of_the_shelf() -> None:
    config: dict[str, Any] = read_config(EXAMPLES / "distilled.toml")
    config["network"] |= {"weights": "OneBit", "distinct": 1}  # no signs to design
    run = build_run(config, EXAMPLES)
    check_run(run.network, run.problem, run.stages, teacher=run.teacher)
    assert run.network.activations == Activations(bits=8)
    assert isinstance(run.stages[-1].loss, Distillation)
