"""What ``unrollbit theory`` and audits refuse, in one line."""

from dataclasses import replace

import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, pack
from unrollbit.cli import main
from unrollbit.plots import bounds_per_layer
from unrollbit.problems import SparseRecovery
from unrollbit.theory import audit
from unrollbit.theory.normal_form import NormalForm, measurements, normal_form
from unrollbit.theory.random_forms import random_form, sparse_signals

SMALL = ("--signals", 6, "--attacked", 2, "--sample", 500, "--held-out", 60)


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--radius", -1), "radius: expected > 0 and < 1e+100, got -1"),
        (("--rate", 2), "rate: expected > 0 and < 1, got 2"),
        (("--delta", 0), "delta: expected > 0 and < 1, got 0"),
        (("--radius", "nan"), "radius: expected > 0 and < 1e+100, got nan"),
        (("--radius", 1e100), "radius: expected > 0 and < 1e+100, got 1e+100"),
        (("--radius", 1e-300, *SMALL), "radius: 1e-300 is lost to rounding beside measurements of norm"),
        (("--signals", 2_000_000_000), "--signals: 2,000,000,000 signals do not fit into memory; expected at most"),
        (("--sample", 2_000_000_000), "--sample: 2,000,000,000 signals do not fit into memory; expected at most"),
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


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"samples": "many", "seed": 1}, "samples of the training: expected an integer or None, got 'many'"),
        ({"samples": -1, "seed": 1}, "samples of the training: expected at least 1, got -1"),
        ({"samples": 5, "seed": -1}, "seed of the training: expected at least 0, got -1"),
    ],
)
def test_a_spoilt_training_record_is_one_line(training, message, tmp_path, capsys):
    problem = SparseRecovery(8, 12)
    file = pack(Unrolled(AMP(), problem, 2), problem=problem, training=training).save(tmp_path / "net.safetensors")
    assert invoke("theory", file, *SMALL) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("option", ["--out", "--json"])
def test_outputs_that_cannot_be_written_are_refused_before_the_work(option, tmp_path, capsys, monkeypatch):
    problem = SparseRecovery(8, 12)
    file = pack(Unrolled(ISTA(), problem, 2), problem=problem).save(tmp_path / "net.safetensors")
    monkeypatch.setattr("unrollbit.packed.load", lambda path: pytest.fail("work had begun"))
    assert invoke("theory", file, option, file / "inside") == 2
    assert f"{option}: {file} is a file" in capsys.readouterr().err
    assert invoke("theory", file, "--json", tmp_path) == 2
    assert f"--json: expected a file to write, got the folder {tmp_path}" in capsys.readouterr().err
    assert invoke("theory", file, option, "/proc/nothing") == 2  # where even root makes no file
    error = capsys.readouterr().err
    assert f"{option}: " in error
    assert "/proc" in error


SETTINGS = [
    ({"radius": "a"}, TypeError, "radius: expected a number, got 'a'"),
    ({"attacked": 2.5}, TypeError, "attacked: expected an integer, got 2.5"),
    ({"attacked": True}, TypeError, "attacked: expected an integer, got True"),
    ({"seed": -1}, ValueError, "seed: expected >= 0 and < 4294967296, got -1"),
    ({"draws": 199}, ValueError, "draws: expected >= 200, got 199"),
]


@pytest.mark.parametrize(("values", "kind", "message"), SETTINGS, ids=[message for *_, message in SETTINGS])
def test_settings_are_checked(values, kind, message):
    with pytest.raises(kind, match=message):
        audit.Settings(**values)


FORM = random_form("ista", 0, m=8, n=12, depth=2)
NET = Unrolled(ISTA(), SparseRecovery(8, 12), 2)
X, Y, _ = sparse_signals(FORM, 0, 2)
WRONG = [
    (
        lambda: audit.deterministic(NET, X, Y, audit.Settings()),
        TypeError,
        r"expected a NormalForm, such as normal_form\(net\)",
    ),
    (lambda: audit.deterministic(FORM, X, Y, {}), TypeError, "settings: expected a Settings, such as Settings"),
    (lambda: audit.deterministic(FORM, X, Y * np.nan, audit.Settings()), ValueError, "finite signals and measurements"),
    (lambda: audit.deterministic(FORM, X, Y + 1j, audit.Settings()), ValueError, "measurements: expected real numbers"),
    (lambda: audit.deterministic(FORM, X[0], Y[0], audit.Settings()), ValueError, r"expected signals \(S, 12\)"),
    (
        lambda: audit.generalization(pack(NET), SparseRecovery(8, 12), None, None, audit.Settings()),
        TypeError,
        "got PackedNetwork; take its .network or .trainable",
    ),
    (lambda: audit.generalization(NET, None, None, None, audit.Settings()), TypeError, "expected a Problem, got None"),
    (
        lambda: audit.generalization(NET, SparseRecovery(9, 12), None, None, audit.Settings()),
        ValueError,
        r"expected a problem of shape \(8, 12\), got \(9, 12\)",
    ),
    (lambda: normal_form("net"), TypeError, "normal_form: expected a network of the library, got str"),
    (lambda: measurements(NET, Y[:, :3]), ValueError, r"expected y \(..., 8\), got shape \(2, 3\)"),
    (lambda: replace(FORM, form="amp"), ValueError, "form: expected one of ista, gd, lista, admm, got 'amp'"),
    (lambda: replace(FORM, A=FORM.A.tolist()), TypeError, "A: expected a NumPy array, got list"),
    (lambda: replace(FORM, A=FORM.A[0]), ValueError, r"A: expected shape \(m, n\) with m, n >= 1, got \(12,\)"),
    (lambda: replace(FORM, H=FORM.H * np.nan), ValueError, "H: expected finite float64 entries, got NaN or infinity"),
    (lambda: replace(FORM, mask=FORM.mask.astype(int)), ValueError, "mask: expected bool entries, got int"),
    (lambda: replace(FORM, lipschitz=-1.0), ValueError, "lipschitz: expected a finite constant >= 0, got -1.0"),
    (
        lambda: NormalForm.from_arrays("ista", FORM.A, FORM.A[None], np.array(1.0)),
        ValueError,
        r"expected A \(m, n\) and step \(K,\)",
    ),
    (lambda: NormalForm.from_arrays("ista", FORM.A + 1j, FORM.A[None], np.ones(2)), ValueError, "A: expected real"),
    (
        lambda: bounds_per_layer(
            [{"theorem": "S1", "family": "stability", "statement": "", "bounds": (1.0,), "measurements": (1.0, 1.0)}]
        ),
        ValueError,
        "expected as many of both, S1 has 1 bounds and 2 measurements",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG, ids=[message for *_, message in WRONG])
def test_wrong_arguments_are_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
