"""What a file says about how its network came about: apart from the network, and nothing of the machine."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, load, pack
from unrollbit.cli import main
from unrollbit.cli.networks import problem_of
from unrollbit.operators import Preconditioned, gaussian
from unrollbit.packed.run import without_folders
from unrollbit.problems import ArrayProblem, Problem, SinglePixelCamera, SparseRecovery


def first_part(path: Path) -> bytes:
    """All bytes but the length of the header, its run and its checksum."""
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    head = content[8:size]
    return head[: head.index(b'"run":')] + content[size:]


def test_equal_networks_have_equal_first_parts(tmp_path: Path) -> None:
    """Whatever their runs; and equal runs give equal files, of what was loaded too."""
    problem = SparseRecovery(8, 16)
    runs = [{"seconds": 1.5}, {"seconds": 123.25, "command": "unrollbit train a.toml"}, {"seconds": 1.5}]
    paths = []
    for k, training in enumerate(runs):
        net = Unrolled(AMP(), problem, 3)
        paths.append(pack(net, problem=problem, training=training).save(tmp_path / f"{k}.safetensors"))
    first, second, third = paths
    assert first_part(first) == first_part(second)
    assert first.read_bytes() != second.read_bytes()
    assert first.read_bytes() == third.read_bytes()
    bare = pack(Unrolled(AMP(), problem, 3)).save(tmp_path / "bare.safetensors")
    assert first_part(bare) == first_part(first)
    assert load(first).save(tmp_path / "again.safetensors").read_bytes() == first.read_bytes()
    other = pack(Unrolled(AMP(), problem, 4)).save(tmp_path / "other.safetensors")
    assert first_part(other) != first_part(first)


def test_the_checksum_covers_the_run(tmp_path: Path) -> None:
    path = pack(Unrolled(AMP(), gaussian(8, 16), 2), training={"seed": 1}).save(tmp_path / "n.safetensors")
    path.write_bytes(path.read_bytes().replace(b'\\"seed\\":1', b'\\"seed\\":2'))
    with pytest.raises(ValueError, match="checksum does not match"):
        load(path)


def test_absolute_paths_become_names() -> None:
    facts = {
        "command": "unrollbit train /home/me/configs/a.toml --out=/tmp/b --seed 0",
        "paths": ["/x/y.npy", "/my data/y.npy", "b/c.npy", "C:\\data\\z.npy", 1],
        "rate": "1 / s",
        "page": "https://a.org/b",
    }
    assert without_folders(facts) == {
        "command": "unrollbit train a.toml --out=b --seed 0",
        "paths": ["y.npy", "y.npy", "b/c.npy", "z.npy", 1],
        "rate": "1 / s",
        "page": "https://a.org/b",
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "here" / "data"
    folder.mkdir(parents=True)
    random = np.random.RandomState(0)
    x = random.standard_normal((60, 9)) * (random.uniform(size=(60, 9)) < 0.2)
    np.save(folder / "A.npy", random.standard_normal((6, 9)).astype(np.float32))
    np.save(folder / "x.npy", x.astype(np.float32))
    return folder


def moved(data: Path, *names: str) -> Path:
    """The data elsewhere, with these files only."""
    there = data.parents[1] / "there"
    there.mkdir()
    for name in names:
        shutil.move(data / name, there / name)
    shutil.rmtree(data.parent)
    return there


def test_a_file_names_data_by_its_content(data: Path, tmp_path: Path) -> None:
    problem = ArrayProblem(str(data / "A.npy"), "x.npy", folder=data)
    path = pack(Unrolled(ISTA(), problem, 2), problem=problem).save(tmp_path / "n.safetensors")
    assert str(tmp_path).encode() not in path.read_bytes()
    recipe = load(path).problem
    assert recipe is not None
    assert recipe["signals"]["name"] == "x.npy"
    assert re.fullmatch("[0-9a-f]{64}", recipe["signals"]["sha256"])
    there = moved(data, "x.npy")  # A is inside the file
    found = problem_of(load(path), data=there)
    np.testing.assert_array_equal(found.split("test").all()[0], problem.split("test").all()[0])
    np.testing.assert_array_equal(found.operator.dense(), problem.operator.dense())
    with pytest.raises(ValueError, match=r"signals: the data of this problem, x.npy, is not in .*--data FOLDER"):
        problem_of(load(path))
    shutil.copy(there / "x.npy", path.parent / "x.npy")  # beside the file: found
    problem_of(load(path))
    np.save(there / "x.npy", np.ones((60, 9)))
    with pytest.raises(ValueError, match="not the data of training"):
        problem_of(load(path), data=there)


def test_a_form_of_the_physics_needs_the_matrix_that_measures(data: Path, tmp_path: Path) -> None:
    problem = ArrayProblem("A.npy", "x.npy", folder=data)
    net = Unrolled(ISTA(), Preconditioned.of(problem.operator, 0.1), 2)
    path = pack(net, problem=problem).save(tmp_path / "n.safetensors")
    there = moved(data, "A.npy", "x.npy")
    assert problem_of(load(path), data=there).operator.shape == (6, 9)
    (there / "A.npy").unlink()
    with pytest.raises(ValueError, match=r"matrix: the data of this problem, A\.npy"):
        problem_of(load(path), data=there)


@pytest.mark.long
def test_a_folder_of_images_is_found_again(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    folder = tmp_path / "photos"
    for k, name in enumerate(("train", "val", "test")):
        (folder / "images" / name).mkdir(parents=True)
        grey = np.random.RandomState(k).uniform(size=(16, 16))
        imsave(folder / "images" / name / "a.png", np.stack([grey] * 3, -1))
    problem = SinglePixelCamera(size=8, wavelet="db1", images=folder)
    path = pack(Unrolled(AMP(), problem, 1), problem=problem).save(tmp_path / "n.safetensors")
    recipe = load(path).problem
    assert recipe is not None
    assert recipe["images"]["name"] == "photos"
    there = tmp_path / "elsewhere" / "renamed"
    there.parent.mkdir()
    shutil.move(folder, there)
    for place in (there, there / "images", there.parent):  # by another name, or above it
        found = Problem.from_spec(recipe, data=[place])
        np.testing.assert_array_equal(found.split("test").all()[0], problem.split("test").all()[0])
    with pytest.raises(ValueError, match="images: the data of this problem, photos, is not in"):
        Problem.from_spec(recipe, data=[tmp_path / "none", path])


CONFIG = """
[problem]
kind = "ArrayProblem"
matrix = "data/A.npy"
signals = "data/x.npy"

[network]
algorithm = {kind = "ISTA", regularisation = 0.05}
depth = 2

[[stages]]
steps = 2
batch = 4
"""


@pytest.mark.long
def test_evaluate_finds_data_that_moved(data: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config, run = data.parent / "a.toml", tmp_path / "run"
    config.write_text(CONFIG)
    assert main(["train", str(config), "--out", str(run), "--quiet"]) == 0
    assert str(tmp_path).encode() not in (run / "network.safetensors").read_bytes()
    evaluate = ["evaluate", str(run), "--no-classic", "--json", str(tmp_path / "r.json")]
    assert main(evaluate) == 0  # the folder of the run knows where its data lies
    before = json.loads((tmp_path / "r.json").read_text())
    there = moved(data, "x.npy")
    capsys.readouterr()
    assert main(evaluate) != 0
    assert "--data FOLDER" in capsys.readouterr().err
    assert main([*evaluate, "--data", str(there)]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["nmse_db"] == before["nmse_db"]
