"""``evaluate --set``: another problem with the same A; what changes A or is unknown is one clear line."""

import json

import numpy as np
import pytest

from unrollbit import AMP, Unrolled, load, pack
from unrollbit.cli import main
from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.changes import changes_text, parse_changes
from unrollbit.cli.networks import problem_of
from unrollbit.problems import EEGCompressiveRecovery, SparseRecovery


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    problem = SparseRecovery(16, 32, sparsity=0.1, snr_db=20)
    return pack(Unrolled(AMP(), problem, 3), problem=problem).save(tmp_path_factory.mktemp("set") / "net.safetensors")


def evaluate(file, out, *arguments):
    assert invoke("evaluate", file, "--no-classic", "--samples", 200, "--json", out, *arguments) == 0
    return json.loads(out.read_text())


@pytest.mark.long
def test_the_changed_problem_is_the_one_measured(file, tmp_path, capsys):
    result = evaluate(file, tmp_path / "a.json", "--set", "sparsity=0.15", "--set", "snr_db=15")
    assert result["changed"] == {"sparsity": 0.15, "snr_db": 15}
    packed = load(file)
    changed = SparseRecovery(16, 32, sparsity=0.15, snr_db=15)
    expected = accuracy(packed.network, changed, *draw_test(changed, 1, 200)[:2])
    assert {name: result[name] for name in expected} == expected
    assert "Changed problem: sparsity = 0.15, snr_db = 15." in " ".join(capsys.readouterr().out.split())
    assert evaluate(file, tmp_path / "b.json", "--set", "sparsity=0.15", "snr_db=15")["nmse_db"] == result["nmse_db"]
    plain = evaluate(file, tmp_path / "c.json")
    assert plain["changed"] == {}
    assert plain["nmse_db"] != result["nmse_db"]


@pytest.mark.long
def test_classic_solvers_see_the_changed_problem(file, tmp_path, capsys):
    def converged(*changes):
        out = tmp_path / "classic.json"
        assert invoke("evaluate", file, "--samples", 50, "--json", out, *changes) == 0
        return json.loads(out.read_text())["classic"][2]["nmse_db"]

    assert converged("--set", "snr_db=60.0") < converged() - 3
    capsys.readouterr()


@pytest.mark.long
def test_none_removes_a_field(file, tmp_path):
    result = evaluate(file, tmp_path / "a.json", "--set", "snr_db=none")
    assert result["changed"] == {"snr_db": None}
    packed = load(file)
    assert problem_of(packed, {"snr_db": None}).to_spec() == SparseRecovery(16, 32, sparsity=0.1).to_spec()
    assert problem_of(packed, {"sparsity": None}).to_spec()["sparsity"] == 0.1  # the constructor's default
    assert problem_of(packed).to_spec() == packed.problem


def test_a_field_that_is_not_in_the_spec_can_be_set_and_removed():
    problem = SparseRecovery(16, 32)
    packed = pack(Unrolled(AMP(), problem, 2), problem=problem)
    assert "snr_db" not in problem.to_spec()
    assert problem_of(packed, {"snr_db": 40.0}).to_spec()["snr_db"] == 40.0
    assert "snr_db" not in problem_of(packed, {"snr_db": None}).to_spec()


def test_values_are_toml():
    parsed = parse_changes(["a=1", "b = 0.5", "c='x=y'", 'd="none"', "e=true", "f=none", "g=[1, 2]"])
    assert parsed == {"a": 1, "b": 0.5, "c": "x=y", "d": "none", "e": True, "f": None, "g": [1, 2]}
    assert changes_text({"a": 1, "f": None}) == "a = 1, f = none"
    assert parse_changes([]) == {}


REFUSED = {
    "seed": ("seed=1", "seed = 1: the physics rebuilt from its recipe differs from that of training"),
    "matrix": ("matrix='rademacher'", "change only what leaves A as it is, such as sparsity or snr_db"),
    "size": ("m=8", "m = 8: the physics rebuilt"),
    "removed size": ("m=none", "m = none: the physics rebuilt"),
    "unknown field": ("sparseness=0.2", "problem SparseRecovery: "),
    "unknown field removed": ("sparseness=none", "unknown 'sparseness'"),
    "kind": ("kind='Sparse'", "unknown problem kind 'Sparse'"),
    "no kind": ("kind=none", "unknown problem kind None"),
    "range": ("sparsity=1.5", "sparsity: expected a fraction in (0, 1], got 1.5"),
    "type": ("snr_db='high'", "snr_db: expected a float or None, got 'high'"),
    "date": ("seed=2020-01-01", "seed"),
    "no value": ("sparsity", "--set: expected NAME=VALUE, got 'sparsity'"),
    "empty value": ("sparsity=", "--set: expected NAME=VALUE"),
    "empty name": ("=0.1", "--set: expected NAME=VALUE"),
    "bare word": ("matrix=hadamard", "--set matrix: 'hadamard' is no TOML value"),
    "two lines": ("sparsity=0.1\nsnr_db=3", "expected one line"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_clear_line(file, capsys, case):
    text, message = REFUSED[case]
    assert invoke("evaluate", file, "--set", text) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_name_given_twice_and_a_missing_problem(file, tmp_path, capsys):
    assert invoke("evaluate", file, "--set", "sparsity=0.1", "sparsity=0.2") == 2
    assert "sparsity is given twice" in capsys.readouterr().err
    bare = pack(load(file).network).save(tmp_path / "bare.safetensors")
    assert invoke("evaluate", bare, "--set", "sparsity=0.1") == 2
    assert "carries no problem" in capsys.readouterr().err


@pytest.mark.long
def test_data_can_get_other_noise_but_no_other_transform(capsys):
    problem = EEGCompressiveRecovery(ratio=0.25)
    packed = pack(Unrolled(AMP(), problem, 1), problem=problem)
    noisy = problem_of(packed, {"snr_db": 20.0})
    assert isinstance(noisy, EEGCompressiveRecovery)
    x, y = noisy.split("test").all()
    same, clean = problem.split("test").all()
    np.testing.assert_array_equal(x, same)
    assert np.abs(y - clean).max() > 0
    with pytest.raises(ValueError, match="transform = dct: the physics"):
        problem_of(packed, {"transform": "dct"})
