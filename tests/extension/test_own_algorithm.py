"""An algorithm and a shrinkage of a user's own, one file each: in Python, in TOML, in a file, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import OneBit, Unrolled, load, pack, refine, solve
from unrollbit.algorithms import Algorithm
from unrollbit.cli import main
from unrollbit.extensions import import_extension
from unrollbit.operators import gaussian

CONFIG = """
import = ["heavy_ball.py", "ramp.py"]
[problem]
kind = "SparseRecovery"
m = 8
n = 16
[recipe]
name = "two_stage"
depth = 2
steps = 2
batch = 4
algorithm = {kind = "HeavyBall", friction = 0.3, shrinkage = {kind = "Ramp", share = 0.8}}
"""


@pytest.fixture
def algorithm(own: Path) -> Algorithm:
    ramp = import_extension(str(own / "ramp.py")).Ramp(share=0.8)
    return import_extension(str(own / "heavy_ball.py")).HeavyBall(ramp, friction=0.3)


@pytest.mark.parametrize(("file", "limit"), [("heavy_ball.py", 15), ("ramp.py", 9)])
def test_each_takes_a_few_lines(own: Path, file: str, limit: int) -> None:
    lines = (own / file).read_text().splitlines()
    assert sum(1 for line in lines if line.strip() and not line.startswith(('"""', "import", "from"))) <= limit


def test_in_python(algorithm: Algorithm) -> None:
    A, y = gaussian(8, 16), jnp.asarray(np.random.RandomState(0).standard_normal((3, 8)), jnp.float32)
    x, before = np.zeros((3, 16)), np.zeros((3, 16))
    matrix = np.asarray(A.dense(), np.float64)
    for _ in range(4):
        u = x + (np.asarray(y) - x @ matrix.T) @ matrix / float(A.norm()) ** 2 + 0.3 * (x - before)
        x, before = u - 0.8 * np.clip(u, -0.01, 0.01), x
    np.testing.assert_allclose(solve(algorithm, A, y, 4).x, x, rtol=1e-4, atol=1e-5)
    net = Unrolled(algorithm, A, 4, OneBit())
    assert refine(net, y, layers=8).x.shape == (3, 16)
    assert Algorithm.from_spec(json.loads(json.dumps(algorithm.to_spec()))) == algorithm


def test_in_a_file(algorithm: Algorithm, tmp_path: Path) -> None:
    net = Unrolled(algorithm, gaussian(8, 16), 4, OneBit())
    read = load(pack(net).save(tmp_path / "net.safetensors"))
    y = jnp.ones((2, 8))
    assert read.network.algorithm == algorithm  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(read(y), net(y), rtol=1e-5, atol=1e-6)


@pytest.mark.long
def test_in_toml_and_on_the_command_line(own: Path, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text(CONFIG.replace('"heavy', f'"{own}/heavy').replace('"ramp', f'"{own}/ramp'))
    assert main(["train", str(config), "--out", str(tmp_path / "run")]) == 0
    assert load(tmp_path / "run" / "network.safetensors").network.algorithm.friction == 0.3  # pyright: ignore[reportAttributeAccessIssue]
