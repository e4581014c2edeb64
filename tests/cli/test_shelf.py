"""The configs of the shelf: read, of known recipes, and networks that can be built."""

from __future__ import annotations

from pathlib import Path

import pytest

from unrollbit import Unrolled, count_bits
from unrollbit.cli.config import build_run, read_config
from unrollbit.cli.network_table import RECIPES
from unrollbit.problems.prior import bands
from unrollbit.shrinkage import Grouped

SHELF = Path(__file__).parents[2] / "examples" / "configs" / "shelf"


@pytest.mark.grid(8)
@pytest.mark.parametrize("path", sorted(SHELF.glob("*.toml")), ids=lambda path: path.stem)
def test_configs_of_the_shelf_are_read_and_build(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")  # says what it is
    config = read_config(path)
    assert config["seed"] == 0
    certified = path.stem.startswith("certified")  # described by network and stages, with a fixed training set
    table = config["network" if certified else "recipe"]
    assert certified or table["name"] in RECIPES
    depth = table["depth"] if certified else 4
    images = "size" in config["problem"]
    config["problem"] |= {"size": 16} if images else {"m": 16, "n": 32}  # signs are designed in no time
    table["depth"] = depth
    run = build_run(config, path.parent)
    assert run.network.operator.shape[1] == (256 if images else 32)
    assert run.network.depth == depth
    assert run.samples == (50_000 if certified else None)
    assert all(stage.penalties for stage in run.stages) or not certified
    spec = run.problem.to_spec()
    assert spec == {**spec, **config["problem"]}


def test_networks_of_imaging_have_a_threshold_per_band_and_a_plane_on_top_of_the_physics() -> None:
    for name in ("tomography", "gaussian-blur"):
        config = read_config(SHELF / f"{name}.toml")
        network = build_run(config, SHELF).network
        assert isinstance(network, Unrolled)
        assert isinstance(network.algorithm.shrinkage, Grouped)
        assert network.algorithm.shrinkage.groups == bands(network.operator.inner, (32, 32))  # pyright: ignore[reportAttributeAccessIssue]
        assert count_bits(network).bits_per_active_link == pytest.approx(0.25, abs=0.1)


def test_the_shelf_has_networks_of_every_setting() -> None:
    names = {path.stem for path in SHELF.glob("*.toml")}
    assert {f"open-l2o-{setting}-{planes}plane" for setting in "abcd" for planes in (1, 2)} <= names
