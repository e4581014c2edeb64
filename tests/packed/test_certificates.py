"""Certificates and error bars in a file: they come back, belong to their network, and are checked."""

import copy
import json

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, load, pack
from unrollbit.operators import gaussian
from unrollbit.packed.file import write_file
from unrollbit.packed.runtime import check_certificates, read

MADE = {
    "signals": 400, "confidence": 0.95, "share": 0.99, "limit_db": -30.0, "failure_db": -20.0, "failure": 0.0075,
    "risk": 0.0076, "seed": 3, "assumes": "fresh signals",
    "error_bar": {"level": 0.9, "signals": 400, "quantile": 1.5, "exponents": {"residual": 1.0}, "floor": 1e-7,
                  "tightness": 0.8},
}  # fmt: skip


def packed(algorithm=None, seed=0):
    return pack(Unrolled(AMP() if algorithm is None else algorithm, gaussian(8, 16, seed=seed), depth=3))


def test_they_travel_with_the_file_and_leave_the_network_as_it_is(tmp_path):
    plain = packed()
    file = plain.certified(MADE).save(tmp_path / "with.safetensors")
    found = load(file)
    assert {name: found.certificates[name] for name in MADE} == MADE
    bare = plain.save(tmp_path / "without.safetensors")
    assert load(bare).certificates is None
    first = [json.loads(json.dumps(read(path).description)) for path in (file, bare)]
    assert first[0] == first[1]
    y = np.random.RandomState(0).standard_normal((5, 8)).astype(np.float32)
    np.testing.assert_array_equal(found(y), load(bare)(y))


@pytest.mark.long
def test_a_bar_is_its_formula(tmp_path):
    found = load(packed().certified(MADE).save(tmp_path / "net.safetensors"))
    y = np.random.RandomState(1).standard_normal((2, 3, 8)).astype(np.float32)
    x, bar = found.recover(y, error_bar=True)
    np.testing.assert_allclose(x, found(y), atol=1e-5)
    residual = y - np.asarray(x) @ np.asarray(found.network.operator.dense()).T
    np.testing.assert_allclose(bar, 1.5 * np.linalg.norm(residual, axis=-1), rtol=1e-4)
    np.testing.assert_array_equal(found.recover(y), found(y))
    assert found.recover(np.zeros(8, np.float32), error_bar=True).error_bar == pytest.approx(1.5e-7)


def test_a_bar_that_follows_nothing_is_one_for_every_signal(tmp_path):
    made = copy.deepcopy(MADE)
    made["error_bar"]["exponents"] = {}
    np.testing.assert_allclose(packed().certified(made).recover(jnp.ones((2, 8)), error_bar=True).error_bar, [1.5, 1.5])


def test_a_network_without_a_posterior_has_no_deviation(tmp_path):
    made = copy.deepcopy(MADE)
    made["error_bar"]["exponents"] = {"deviation": 1.0}
    found = load(packed(ISTA()).certified(made).save(tmp_path / "net.safetensors"))
    with pytest.raises(ValueError, match="deviation missing"):
        found.recover(jnp.ones(8), error_bar=True)
    with pytest.raises(ValueError, match="unrollbit calibrate"):
        packed().recover(jnp.ones(8), error_bar=True)


def test_those_of_another_network_are_refused(tmp_path):
    first = read(packed().certified(MADE).save(tmp_path / "first.safetensors"))
    path = packed(seed=1).save(tmp_path / "second.safetensors")
    other = read(path)
    run = {**other.run, "certificates": first.run["certificates"]}
    text = path.read_bytes()
    write_file(path, other.description, run, {name: array.entries for name, array in other.arrays.items()})
    load(path)  # written by the library: made to be of this network
    from unrollbit.packed import runtime

    stored = read(path)
    changed = {**stored.run["certificates"], "network": first.run["certificates"]["network"]}
    with pytest.raises(ValueError, match="another network"):
        runtime.check_certificates(changed, stored.run["certificates"]["network"])
    assert text != path.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"failure": 0.001}, "no probability and no risk below"),
        ({"risk": 0.001}, "no probability and no risk below"),
        ({"signals": 100, "failure": 0.5, "risk": 0.5}, "no limit for a share of 0.99"),
        ({"confidence": 1.0}, r"in \(0, 1\)"),
        ({"limit_db": "low"}, "limit_db"),
        ({"signals": 0}, "signals"),
        ({"error_bar": None}, "error bar"),
        ({"error_bar": {**MADE["error_bar"], "signals": 8}}, "allow no level of 0.9"),
        ({"error_bar": {**MADE["error_bar"], "quantile": -1.0}}, "quantile"),
        ({"error_bar": {**MADE["error_bar"], "exponents": {"luck": 1.0}}}, "exponents of"),
        ({"error_bar": {**MADE["error_bar"], "exponents": {"residual": -1.0}}}, "exponents from 0"),
    ],
)
def test_numbers_that_no_sample_gives_are_refused(changes, message):
    check_certificates(MADE)
    with pytest.raises(ValueError, match=message):
        packed().certified({**MADE, **changes})


def test_a_missing_number_is_named():
    with pytest.raises(ValueError, match="risk missing"):
        packed().certified({name: value for name, value in MADE.items() if name != "risk"})
