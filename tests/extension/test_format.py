"""A weight format of a user's own, in one file: in Python, in TOML, trained, and in a packed file."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ISTA, Unrolled, count_bits, fit, load, pack, recipes
from unrollbit.cli.config import build_run
from unrollbit.formats import Anchored, Format, FullPrecision, Normalised
from unrollbit.problems import SparseRecovery
from unrollbit.structures import Band
from unrollbit.variables import BinaryParam, ScaleParam

HERE = Path(__file__).parent
PROBLEM = SparseRecovery(12, 24, seed=1)
CONFIG = """
[problem]
kind = "SparseRecovery"
m = 12
n = 24
[recipe]
name = "two_stage"
depth = 3
steps = 20
batch = 8
weights = { kind = "Anchored", inner = { kind = "Shifted", base = 4.0 } }
"""


@pytest.fixture(scope="module")
def Shifted() -> Any:
    if "own_format" not in sys.modules:
        spec = importlib.util.spec_from_file_location("own_format", HERE / "own_format.py")
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules["own_format"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules["own_format"].Shifted


def test_a_format_takes_a_few_lines() -> None:
    lines = (HERE / "own_format.py").read_text().splitlines()
    assert sum(1 for line in lines if line.strip() and not line.startswith(('"""', "import", "from"))) <= 14


def test_in_python(Shifted: Any) -> None:
    W = np.array([[3.0, -1.0, 0.5], [2.0, -6.0, 5.5]])  # mean magnitude 3: nearer to 4 than to 2 in its logarithm
    weights = Shifted().from_matrix(W, copies=2)
    np.testing.assert_allclose(weights.dense(), np.stack([4.0 * np.sign(W)] * 2), rtol=1e-6)
    assert weights.bits() == 2 * (6 + 32)
    assert {type(variable) for variable in weights.variables.values()} == {BinaryParam, ScaleParam}
    band = Band(6, 8, -1, 2)
    masked = Shifted(base=4.0).from_matrix(np.full((6, 8), -3.0), band)
    np.testing.assert_allclose(masked.dense()[0], -4.0 * np.asarray(band.dense_mask()), rtol=1e-6)
    assert masked.bits() == band.size + 32
    gradient = jax.grad(lambda w: jnp.sum(w.dense() * W))(weights).variables
    np.testing.assert_allclose(gradient["signs"][...][0], 4.0 * W, rtol=1e-6)  # straight through
    np.testing.assert_allclose(gradient["scale"][...], 3.0 * np.abs(W).sum(), rtol=1e-6)  # d exp(s) = exp(s)


def test_in_networks_and_around_the_physics(Shifted: Any) -> None:
    A, y = PROBLEM.operator, jnp.ones((2, 12))
    for format in (Shifted(), Normalised(Shifted()), Anchored(Shifted())):
        net = Unrolled(ISTA(), PROBLEM, 3, format, distinct=2)
        assert net(y).shape == (2, 24)
        assert count_bits(net).weight_bits == 2 * 12 * 24
        assert count_bits(net).maps["W"].scale_bits == 2 * 32
    dense = Unrolled(ISTA(), PROBLEM, 3, Normalised(Shifted())).maps["W"].dense()
    np.testing.assert_allclose(jnp.sum(dense * A.dense(), axis=1), 1.0, rtol=1e-4)


def test_in_toml(Shifted: Any) -> None:
    format = Normalised(Shifted(base=4.0))
    assert Format.from_spec(json.loads(json.dumps(format.to_spec()))) == format
    run = build_run(tomllib.loads(CONFIG), Path())
    weights = run.network.maps["W"]
    assert Anchored(Shifted(base=4.0)) in (weights.format, weights.format.inner)
    with pytest.raises(ValueError, match="Shifted has no field 'root'; its fields: base"):
        Format.from_spec({"kind": "Shifted", "root": 2.0})


@pytest.mark.long
def test_trained_and_in_a_file(Shifted: Any, tmp_path: Path) -> None:
    network, stages = recipes.two_stage(PROBLEM, 2, weights=Shifted(), algorithm=ISTA(), steps=200, batch=8)
    start = np.asarray(network.maps["W"].leaf.dense())
    assert [stage.name for stage in stages if stage.quantised] == ["refit", "one-bit"]
    fit(network, PROBLEM, stages, progress=False)
    leaf = network.maps["W"].leaf
    assert leaf.format == Shifted()
    powers = np.log2(np.abs(np.asarray(leaf.dense())))
    np.testing.assert_allclose(powers, np.round(powers), atol=1e-5)
    assert not np.array_equal(np.sign(leaf.dense()), np.sign(start))  # the float stage was handed over
    path = pack(network, problem=PROBLEM).save(tmp_path / "net.safetensors")
    packed = load(path)
    y = PROBLEM.sample(jax.random.key(0), 20)[1]
    expected = network(y)
    for found in (packed(y), packed.trainable()(y)):
        assert float(jnp.linalg.norm(found - expected)) <= 1e-5 * float(jnp.linalg.norm(expected))
    assert packed.bits().weight_bits == count_bits(network).weight_bits == 2 * 12 * 24
    assert packed.bits().resident_bits == count_bits(network).resident_bits
    held = packed.network.maps["W"].leaf.variables
    assert {name: (variable.dtype, variable.shape) for name, variable in held.items()} == {
        "signs": (np.uint8, (2, 12, 3)),
        "scale": (np.float32, (2,)),
    }
    assert packed.trainable().maps["W"].leaf.format == Shifted()


def test_trained_matrices_are_handed_over(Shifted: Any) -> None:
    weights = Shifted().from_matrix(np.random.RandomState(0).standard_normal((6, 8)), copies=2)
    floats = weights.unquantised(FullPrecision())  # latents, not signs: small entries turn first
    assert len(np.unique(np.abs(floats.dense()[0]).round(5))) == 48
    np.testing.assert_allclose(np.abs(floats.dense()).mean((1, 2)), np.abs(weights.dense()).mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(weights.quantised_from(floats).dense(), weights.dense())
    values = floats.variables["values"]
    values[...] = -4.0 * values[...]
    np.testing.assert_allclose(weights.quantised_from(floats).dense(), -4.0 * weights.dense(), rtol=1e-6)
