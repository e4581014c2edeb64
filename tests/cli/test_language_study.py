"""unrollbit reproduce language: its text, its table and figure on a tiny model, and what a packed model generates."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import OneBitSVID, load, pack, quantise
from unrollbit.cli import main
from unrollbit.cli.studies.language_model import LanguageModel, cross_entropy, generated, measured, train
from unrollbit.cli.studies.language_text import standard_library, windows
from unrollbit.cli.studies.language_training import FLOAT, Size, Training, train_one


def test_files_are_in_one_split_and_no_test_text_is_trained_on(tmp_path: Path) -> None:
    for k in range(60):
        (tmp_path / f"module{k}.py").write_text(f"NUMBER = {k}\n" * 5)
    text = standard_library(tmp_path)
    lines = {name: set(getattr(text, name).tobytes().split(b"\n")) - {b""} for name in ("train", "validation", "test")}
    assert sum(map(len, lines.values())) == len(set.union(*lines.values())) == 60
    assert text.facts["files"] == 60
    cut = windows(text.test, 7, 3)
    assert cut.shape == (3, 7)
    assert text.test.tobytes().startswith(cut[0].tobytes())
    assert text.test.tobytes().endswith(cut[-1].tobytes())


def test_the_text_of_this_python_is_there() -> None:
    text = standard_library()
    assert min(len(text.validation), len(text.test)) > 50_000
    assert len(text.train) > 5 * len(text.test)


@pytest.mark.long
def test_measures_are_those_of_the_probabilities() -> None:
    model = LanguageModel(16, 1, 8, nnx.Rngs(0))
    tokens = np.random.RandomState(0).randint(0, 256, (20, 9))
    p = jax.nn.softmax(model(jnp.asarray(tokens[:, :-1])))
    own = np.take_along_axis(np.asarray(p, np.float64), tokens[:, 1:, None], -1)
    found = measured(model, tokens)
    assert found["bits_per_byte"] == pytest.approx(-np.log2(own).mean(), rel=1e-4)
    assert found["perplexity"] == pytest.approx(2 ** found["bits_per_byte"], rel=1e-6)
    assert found["accuracy"] == np.mean(np.asarray(p).argmax(-1) == tokens[:, 1:])


@pytest.mark.long
def test_packed_generation_has_the_logits_of_the_trained_model_and_a_twentieth_of_its_file(tmp_path: Path) -> None:
    text = standard_library().train[:4000]
    teacher = LanguageModel(256, 1, 16, nnx.Rngs(0))
    student = quantise(teacher, OneBitSVID(), keep=None)
    losses = train(student, text, cross_entropy, steps=4, batch=2, context=16, seed=0)
    assert losses.shape == (4,)
    assert np.isfinite(losses).all()
    file = pack(student).save(tmp_path / "one-bit.safetensors")
    packed = load(file, LanguageModel(256, 1, 16, nnx.Rngs(1)))
    prompt = text[:16]
    bytes_packed, logits_packed = generated(packed.network, prompt, 5)
    bytes_trained, logits_trained = generated(student, prompt, 5)
    assert bytes_packed.tolist() == bytes_trained.tolist()
    assert np.abs(logits_packed - logits_trained).max() <= 1e-4
    float_file = pack(teacher).save(tmp_path / "float.safetensors")
    embeddings = sum(packed.bits().kept[part] for part in ("tokens", "places")) // 8
    sizes = [path.stat().st_size - embeddings for path in (file, float_file)]
    assert sizes[0] <= sizes[1] / 20


@pytest.mark.long
def test_a_run_gives_rows_a_table_and_a_figure_and_keeps_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(60):
        (tmp_path / f"module{k}.py").write_text(f"import number{k}\n" * 9)
    out = tmp_path / "out"
    command = ["reproduce", "language", "--quick", "--text", str(tmp_path), "--formats", "OneBit", "--workers", "1"]
    command += ["--width", "16", "--blocks", "1", "--steps", "2", "--teacher-steps", "2", "--out", str(out)]
    main(command)
    assert "not at this width: LittleBit 0.1" in capsys.readouterr().out
    report = json.loads((out / "report.json").read_text())
    assert [(row["network"], row["way"]) for row in report["rows"]] == [
        ("float", "text"),
        ("float, trained on", "text"),
        ("OneBit", "text"),
        ("OneBit", "teacher"),
    ]
    assert report["rows"][0]["share"] == 1.0
    one_bit = report["rows"][2]
    assert one_bit["bits_per_weight"] == pytest.approx(1 + 16 * (4 * 32 + 2 * 80) / (4 * 16**2 + 2 * 16 * 64))
    floats, students = report["table"][0], report["table"][2:]
    assert (floats["read_speedup"], floats["smaller_by"]) == (1.0, 1.0)
    assert all(line["smaller_by"] > 1 and line["next_speedup"] > 0 for line in students)
    assert (out / "figures" / "language.png").is_file()
    assert len(list(out.rglob("*.safetensors"))) == 4


@pytest.mark.long
def test_what_is_there_is_kept_and_what_is_of_another_setting_is_not(tmp_path: Path) -> None:
    for k in range(60):
        (tmp_path / f"module{k}.py").write_text(f"import number{k}\n" * 9)
    size = Size(16, 1, 8, batch=2, steps=1, teacher_steps=2, windows=4)
    task = Training(FLOAT, "text", None, 0, size, tmp_path / "out", tmp_path)
    row = train_one(task)
    file = tmp_path / "out" / task.path
    written = file.stat().st_mtime_ns
    assert train_one(task) == row
    assert file.stat().st_mtime_ns == written
    assert train_one(replace(task, size=replace(size, windows=3))) != row
    assert file.stat().st_mtime_ns > written
