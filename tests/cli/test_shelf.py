"""The configs of the shelf: read, of known recipes, and networks that can be built."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from unrollbit import count_bits
from unrollbit.cli.config import build_run, read_config
from unrollbit.cli.network_table import RECIPES

SHELF = Path(__file__).parents[2] / "examples" / "configs" / "shelf"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of the names that configs give to public images, with a few of our own."""
    root = tmp_path_factory.mktemp("data")
    random = np.random.RandomState(0)
    for name in ("train400", "brain-10"):
        (root / name).mkdir()
        for index in range(4):
            Image.fromarray(random.randint(0, 256, (20, 20)).astype(np.uint8)).save(root / name / f"{index}.png")
    (root / "masks").mkdir()
    scipy.io.savemat(root / "masks" / "mask_20.mat", {"mask_matrix": np.ones((16, 16), np.uint8)})
    return root


@pytest.mark.long
@pytest.mark.grid(8)
@pytest.mark.parametrize("path", sorted(SHELF.glob("*.toml")), ids=lambda path: path.stem)
def test_configs_of_the_shelf_are_read_and_build(path: Path, data: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")  # says what it is
    config = read_config(path)
    assert config["seed"] == 0
    certified = path.stem.startswith("certified")  # described by network and stages, with a fixed training set
    table, problem = config["network" if certified else "recipe"], config["problem"]
    assert certified or table["name"] in RECIPES
    depth = table["depth"] if certified else 4
    small, unknowns = {"m": 16, "n": 32}, 32  # signs are designed in no time
    if "size" in problem or "mask" in problem:
        small, unknowns = {} if "mask" in problem else {"size": 16}, 256
        small |= {"patterns": "hadamard"} if "patterns" in problem else {}
    elif problem["kind"] == "EEGCompressiveRecovery":
        small, unknowns = {}, 128
    problem |= small
    table["depth"] = depth
    run = build_run(config, path.parent, data if "images" in problem else None)
    assert run.network.operator.shape[1] == unknowns
    assert run.network.depth == depth
    assert run.samples == (50_000 if certified else None)
    assert all(stage.penalties for stage in run.stages) or not certified
    spec = run.problem.to_spec()
    found = {name: value for name, value in problem.items() if name not in ("images", "mask", "physics", "noise")}
    assert spec == {**spec, **found}


@pytest.mark.long
def test_networks_of_imaging_store_one_sign_a_tap() -> None:
    for name in ("tomography", "gaussian-blur"):
        network = build_run(read_config(SHELF / f"{name}.toml"), SHELF).network
        assert count_bits(network).weight_bits == 8 * 24 * 25


def test_the_shelf_has_networks_of_every_setting() -> None:
    names = {path.stem for path in SHELF.glob("*.toml")}
    assert {f"open-l2o-{setting}-{planes}plane" for setting in "abcd" for planes in (1, 2)} <= names
