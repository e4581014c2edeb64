"""unrollbit reproduce denoiser on a tiny model: rows, what cannot be held, and that nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from unrollbit.cli import main
from unrollbit.cli.studies.denoiser_training import FORMATS, ResidualDenoiser


def test_the_model_takes_what_it_finds_away_from_what_it_is_given() -> None:
    model, y = ResidualDenoiser(4, 1, nnx.Rngs(0)), jnp.ones((2, 6, 5))
    assert model(y).shape == (2, 6, 5)
    model.last.kernel[...] = jnp.zeros_like(model.last.kernel[...])
    np.testing.assert_array_equal(model(y), y - model.last.bias[...])


@pytest.mark.long
def test_a_run_gives_rows_and_a_figure_and_keeps_what_is_there(tmp_path: Path, monkeypatch, capsys) -> None:
    random = np.random.RandomState(0)
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(random.randint(0, 256, (30, 26)).astype(np.uint8)).save(tmp_path / "images" / name)
    monkeypatch.chdir(tmp_path)  # without the shelf
    command = ["reproduce", "denoiser", "--quick", "--steps", "2", "--width", "4", "--layers", "1", "--workers", "1"]
    command += ["--images", "images", "--out", "out", "--json", "report.json"]
    assert main(command) == 0
    found = json.loads(Path("report.json").read_text())
    assert [row["method"] for row in found["rows"]] == ["float", "float, trained on", "BitNet", "b1.58", "OneBit"]
    assert found["images"] == 2
    assert len(found["missing"]) == len(FORMATS) - 3
    assert "cannot be held at" in found["missing"][0]
    rows = {row["method"]: row for row in found["rows"]}
    assert rows["float"]["bits_per_weight"] == 32
    for name, row in rows.items():
        assert row["bytes"] == (Path("out") / row["path"]).stat().st_size
        assert np.isfinite(row["psnr_db"]), name
    assert Path("out/figures/denoiser.png").is_file()
    times = {name: (Path("out") / row["path"]).stat().st_mtime_ns for name, row in rows.items()}
    capsys.readouterr()
    assert main(command) == 0
    assert times == {name: (Path("out") / row["path"]).stat().st_mtime_ns for name, row in rows.items()}
