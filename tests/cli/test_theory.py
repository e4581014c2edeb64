"""``unrollbit theory``: every theorem in one table, with the reason where one does not apply."""

import json

import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, GradientDescent, Stage, Unrolled, fit, pack
from unrollbit.cli import main
from unrollbit.problems import BlockSparseRecovery, EEGCompressiveRecovery, SparseRecovery
from unrollbit.theory.statements import STATEMENTS

KEYS = {"theorem", "status", "bound", "measured", "tightness", "vacuous", "assumptions"}
SMALL = ("--signals", 6, "--attacked", 2, "--sample", 500)


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


def check(net, problem, folder, *arguments, training=None):
    file = pack(net, problem=problem, training=training).save(folder / "net.safetensors")
    out = folder / "theory.json"
    assert invoke("theory", file, *SMALL, "--json", out, *arguments) == 0
    result = json.loads(out.read_text())
    rows = {row["theorem"]: row for row in result["rows"]}
    assert set(rows) == set(STATEMENTS)
    assert all(set(row) >= KEYS for row in rows.values())
    assert result["violated"] == 0
    return result, rows


def test_a_trained_network_gets_a_row_for_every_theorem(tmp_path, capsys):
    problem = SparseRecovery(12, 24, sparsity=0.1)
    net = Unrolled(ISTA(regularisation=0.05), problem, 4, distinct=1)
    fit(net, problem, (Stage(steps=30),), seed=3, samples=400, progress=False)
    result, rows = check(net, problem, tmp_path, training={"samples": 400, "seed": 3})
    for name in ("S1", "S3", "S5", "N1path", "N2u", "C2", "C4", "G1", "G3a"):
        assert rows[name]["status"] == "holds", name
        assert rows[name]["bound"] >= rows[name]["measured"] > 0
        assert all(rows[name]["assumptions"].values())
    assert len(rows["C2"]["bounds"]) == len(rows["C2"]["measurements"]) == 5
    assert rows["N3"]["status"] == "not applicable"
    assert "untied" in rows["N3"]["unmet"]
    assert rows["G5"]["unmet"] == "the physics is block-diagonal"
    assert result["normal_form"] == "ista"
    for name in result["figures"]:
        assert (tmp_path / "net-theory" / name).stat().st_size > 3000
    assert "normal form ista" in " ".join(capsys.readouterr().out.split())


def test_gradient_descent_has_its_own_theorems(tmp_path):
    problem = SparseRecovery(24, 12, sparsity=1.0)
    _, rows = check(Unrolled(GradientDescent(), problem, 4), problem, tmp_path)
    for name in ("C3", "C3b", "C7", "N3"):
        assert rows[name]["status"] == "holds", name
    assert rows["C5"]["unmet"] == "the network is ADMM"


def test_full_precision_is_quantised_and_blocks_pay_for_themselves(tmp_path):
    problem = BlockSparseRecovery(blocks=3, m=4, n=6)
    _, rows = check(Unrolled(ISTA(), problem, 3, FullPrecision), problem, tmp_path)
    assert rows["N6"]["status"] == "holds"
    assert rows["N3"]["status"] == "not applicable"
    _, rows = check(Unrolled(ISTA(), problem, 3), problem, tmp_path)
    assert rows["G5"]["status"] == "holds"
    assert rows["G5"]["bound"] < rows["G3a"]["bound"] + 1e-12


@pytest.mark.parametrize("network", ["amp", "dense"])
def test_networks_without_a_normal_form_say_why_and_still_count_bits(network, tmp_path, capsys):
    problem = SparseRecovery(12, 24)
    net = Unrolled(AMP(), problem, 3) if network == "amp" else FullyConnected(problem, 3)
    result, rows = check(net, problem, tmp_path)
    assert rows["G3a"]["status"] == "holds"
    for name in ("S1", "N1", "C2", "G2"):
        assert rows[name]["status"] == "not applicable"
        assert rows[name]["bound"] is None
        assert ("noise level" if network == "amp" else "not an unrolled") in rows[name]["unmet"]
    assert result["normal_form"].startswith("none (")
    assert "layers.png" not in result["figures"]
    capsys.readouterr()


def test_data_without_a_known_energy_has_no_certificate(tmp_path):
    problem = EEGCompressiveRecovery()
    _, rows = check(Unrolled(ISTA(), problem, 2), problem, tmp_path)
    assert rows["G3a"]["unmet"] == "E||x||^2 is known before any data"
    assert rows["S1"]["status"] == "holds"


def test_the_same_seed_gives_the_same_rows(tmp_path):
    problem = SparseRecovery(10, 16)
    net = Unrolled(ISTA(), problem, 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first = check(net, problem, tmp_path / "a", "--seed", 5)
    _, second = check(net, problem, tmp_path / "b", "--seed", 5)
    assert first == second


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--radius", -1), "radius: expected > 0, got -1"),
        (("--rate", 2), "rate: expected > 0 and < 1, got 2"),
        (("--delta", 0), "delta: expected > 0 and < 1, got 0"),
        (("--radius", "nan"), "radius: expected > 0, got nan"),
        (("--sample", 1), "sample: expected >= 2, got 1"),
    ],
)
def test_settings_out_of_range_are_one_line(arguments, message, tmp_path, capsys):
    problem = SparseRecovery(8, 12)
    file = pack(Unrolled(ISTA(), problem, 2), problem=problem).save(tmp_path / "net.safetensors")
    assert invoke("theory", file, *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_without_a_problem_is_refused(tmp_path, capsys):
    file = pack(Unrolled(ISTA(), SparseRecovery(8, 12), 2)).save(tmp_path / "net.safetensors")
    assert invoke("theory", file) == 2
    assert "carries no problem" in capsys.readouterr().err
