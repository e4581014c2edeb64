"""``unrollbit theory``: every theorem in one table, with the reason where one does not apply."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullPrecision, FullyConnected, GradientDescent, Stage, Unrolled, fit, pack
from unrollbit.cli import main, theorem_table
from unrollbit.problems import ArrayProblem, BlockSparseRecovery, EEGCompressiveRecovery, SparseRecovery
from unrollbit.theory import audit
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.registry import theorems
from unrollbit.theory.report import not_applicable, upper_bound
from unrollbit.theory.summary import summarise

KEYS = {"theorem", "status", "bound", "measured", "tightness", "vacuous", "assumptions"}
SMALL = ("--signals", 6, "--attacked", 2, "--sample", 500, "--held-out", 60)


@pytest.fixture(autouse=True)
def no_figures(request, monkeypatch):
    """Drawing takes half the time of the command: only tests that ask for the figures draw them."""
    if "draws" not in request.keywords:
        monkeypatch.setattr("unrollbit.cli.theorem_table.save", lambda _, path: (path, path.with_suffix(".png")))


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


def check(net, problem, folder, *arguments, training=None):
    file = pack(net, problem=problem, training=training).save(folder / "net.safetensors")
    out = folder / "theory.json"
    assert invoke("theory", file, *SMALL, "--json", out, *arguments) == 0
    result = json.loads(out.read_text())
    rows = {row["theorem"]: row for row in result["rows"]}
    assert set(rows) == set(theorems())
    assert all(set(row) >= KEYS for row in rows.values())
    assert result["violated"] == 0
    return result, rows


@pytest.mark.long
@pytest.mark.draws
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
    assert (rows["G0"]["status"], rows["G0"]["measured"]) == ("not measured", None)  # no risk is known exactly
    assert (rows["G4"]["status"], rows["G4"]["measured"]) == ("holds", rows["G1"]["measured"])
    assert rows["G4"]["bound"] > rows["G1"]["bound"]
    assert result["normal_form"] == "ista"
    for name in result["figures"]:
        assert (tmp_path / "net-theory" / name).stat().st_size > 3000
    assert "normal form ista" in " ".join(capsys.readouterr().out.split())


@pytest.mark.long
def test_gradient_descent_has_its_own_theorems(tmp_path):
    problem = SparseRecovery(24, 12, sparsity=1.0)
    _, rows = check(Unrolled(GradientDescent(), problem, 4), problem, tmp_path)
    for name in ("C3", "C3b", "C7", "N3"):
        assert rows[name]["status"] == "holds", name
    assert rows["C5"]["unmet"] == "the network is ADMM"


@pytest.mark.long
def test_full_precision_is_quantised_and_blocks_pay_for_themselves(tmp_path):
    problem = BlockSparseRecovery(blocks=3, m=4, n=6)
    _, rows = check(Unrolled(ISTA(), problem, 3, FullPrecision()), problem, tmp_path)
    assert rows["N6"]["status"] == "holds"
    assert rows["N3"]["status"] == "not applicable"
    _, rows = check(Unrolled(ISTA(), problem, 3), problem, tmp_path)
    assert rows["G5"]["status"] == "holds"
    assert rows["G5"]["bound"] < rows["G3a"]["bound"] + 1e-12


@pytest.mark.long
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


@pytest.mark.long
def test_data_without_a_known_energy_has_no_certificate(tmp_path):
    problem = EEGCompressiveRecovery()
    _, rows = check(Unrolled(ISTA(), problem, 2), problem, tmp_path)
    assert rows["G3a"]["unmet"] == "E||x||^2 is known before any data (of arrays: energy_bound)"
    assert rows["S1"]["status"] == "holds"


@pytest.mark.long
def test_own_arrays_with_a_bound_of_their_energy_have_one(tmp_path):
    random = np.random.RandomState(0)
    np.save(tmp_path / "A.npy", random.standard_normal((8, 12)) / np.sqrt(8))
    np.save(tmp_path / "x.npy", random.random_sample((3000, 12)))
    files = {"matrix": str(tmp_path / "A.npy"), "signals": str(tmp_path / "x.npy")}
    problem = ArrayProblem(**files, snr_db=20.0, energy_bound=12)
    assert problem.energy == 12
    assert ArrayProblem.from_spec(problem.to_spec()).energy == 12
    _, rows = check(Unrolled(ISTA(), problem, 2), problem, tmp_path, "--sample", 5000)
    assert rows["G3a"]["status"] == "holds"
    assert all(rows["G3a"]["assumptions"].values())
    with pytest.raises(ValueError, match="energy_bound: expected a finite number > 0"):
        ArrayProblem(**files, energy_bound=0)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_rows(tmp_path):
    problem = SparseRecovery(10, 16)
    net = Unrolled(ISTA(), problem, 2)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    _, first = check(net, problem, tmp_path / "a", "--seed", 5)
    _, second = check(net, problem, tmp_path / "b", "--seed", 5)
    assert first == second


@pytest.mark.long
def test_the_largest_seed_and_more_flips_than_entries_work(tmp_path):
    problem = SparseRecovery(8, 12)
    check(Unrolled(ISTA(), problem, 2), problem, tmp_path, "--seed", 2**32 - 1, "--flips", 1000, "--attacked", 99)


def test_a_test_set_is_taken_whole_where_more_signals_are_asked_for():
    problem = EEGCompressiveRecovery()
    x, y = theorem_table.draw_signals(problem, 0, 10**9)
    held = problem.split("test").all()
    assert held is not None
    np.testing.assert_array_equal(x, np.asarray(held[0], np.float64))
    assert y.shape == (52, 64)


def test_scalars_that_overflow_are_not_packed():
    problem = SparseRecovery(8, 12)
    net = Unrolled(ISTA(), problem, 2)
    net.scalars["step"][...] = net.scalars["step"][...] * 0 + 1e38
    with pytest.raises(ValueError, match="too large for a float32"):
        pack(net, problem=problem)


def test_seeds_wrap_round():
    assert audit.Settings(seed=2**32 - 1).seeded(3) == 2


FORM = random_form("ista", 0, m=8, n=12, depth=2)
X, Y, _ = sparse_signals(FORM, 0, 2)


def test_rows_speak_and_fit_into_100_columns(capsys):
    unmet = {"the network is gradient descent": False}
    rows = summarise(
        [
            not_applicable("C3", unmet),
            upper_bound("S1", 2.0, 1.0, 1.0, {}),
            upper_bound("S3", 2.0, 1.0, 9.0, {}),
            upper_bound("G1", 0.25, None, 1.0, {}),
            replace(upper_bound("H1", -82.3, None, 0.0, {}), share=0.99),
        ]
    )
    theorem_table.print_theorems(Path("net.safetensors"), "ista", rows)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    shown = " ".join(word for word in printed.replace("│", " ").split())
    for words in (
        "99% of signals end below -82.3 dB",
        "not measured",
        "true, but no better than knowing nothing",
        "Stability: 2 of 2 statements apply",
        "Convergence: 0 of 1",
        "amplified more than 2 times",
    ):
        assert words in shown, words
    assert shown.index("Stability") < shown.index("Convergence")  # what says nothing comes last
    assert shown.index("S3") < shown.index("S1")  # so do rows


@pytest.mark.long
@pytest.mark.parametrize(("theorem", "code"), [("S1", 2), ("G3a", 0)])
def test_a_violation_is_an_error_unless_chance_allows_it(theorem, code, tmp_path, monkeypatch, capsys):
    problem = SparseRecovery(8, 12)
    file = pack(Unrolled(AMP(), problem, 2), problem=problem).save(tmp_path / "net.safetensors")
    broken = upper_bound(theorem, 1.0, 2.0, 9.0)
    monkeypatch.setattr("unrollbit.theory.audit.outside", lambda _: [broken])
    assert invoke("theory", file, *SMALL) == code
    assert f"violated: {theorem}" in capsys.readouterr().err


def test_sizes_are_checked_without_measuring_a_signal(monkeypatch):
    problem = ArrayProblem(np.eye(4, 8), np.random.RandomState(0).randn(40, 8))
    monkeypatch.setattr(ArrayProblem, "measured", lambda *_: pytest.fail("measured"))
    theorem_table.check_size("--signals", 10**9, problem)
    assert problem.count == 32
