"""The command line as a person uses it: results, files, and one clear line for every mistake."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from unrollbit.cli import main
from unrollbit.cli.main import COMMANDS

CONFIG = """
seed = 3
[problem]
kind = "SparseRecovery"
m = 16
n = 32
[recipe]
name = "designed_signs"
depth = 3
steps = 30
batch = 8
"""


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.toml").write_text(CONFIG)
    assert invoke("train", folder / "small.toml", "--out", folder / "run", "--quiet", "--json", folder / "t.json") == 0
    return folder / "run"


@pytest.mark.long
def test_train_leaves_a_complete_run_folder(run):
    assert {"config.toml", "metrics.jsonl", "network.safetensors", "training.pdf", "training.png", "checkpoints"} <= {
        path.name for path in run.iterdir()
    }
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 30
    result = json.loads((run.parent / "t.json").read_text())
    assert result["file_bytes"] == (run / "network.safetensors").stat().st_size


@pytest.mark.long
def test_evaluate_reports_and_agrees_between_run_and_file(run, tmp_path, capsys):
    assert invoke("evaluate", run, "--samples", 300, "--seed", 5, "--json", tmp_path / "a.json", "--out", tmp_path) == 0
    result = json.loads((tmp_path / "a.json").read_text())
    assert {"nmse_db", "nmse_db_mean_of_db", "nmse_db_per_layer", "bits_per_link", "failures"} <= set(result)
    assert len(result["nmse_db_per_layer"]) == 3
    assert result["nmse_db_per_layer"][-1] == pytest.approx(result["nmse_db"], abs=1e-4)
    assert [row["method"] for row in result["classic"]] == ["ista", "fista", "fista converged"]
    beside = {row["method"]: row for row in result["baselines"]}
    assert {"network", "zero", "linear MMSE", "fista", "omp"} <= set(beside)
    assert beside["network"]["nmse_db"] == pytest.approx(result["nmse_db"], abs=1e-3)  # all 300 signals
    assert all({"nmse_db", "psnr_db", "milliseconds"} <= set(row) for row in beside.values())
    assert result["said"].startswith("The network is")
    assert (tmp_path / "nmse_per_layer.png").stat().st_size > 1000
    assert "failures" in capsys.readouterr().out
    again = tmp_path / "b.json"
    file = run / "network.safetensors"
    assert invoke("evaluate", file, "--samples", 300, "--seed", 5, "--no-classic", "--json", again) == 0
    assert json.loads(again.read_text())["nmse_db"] == result["nmse_db"]
    assert invoke("evaluate", file, "--samples", 300, "--seed", 6, "--no-classic", "--json", again) == 0
    assert json.loads(again.read_text())["nmse_db"] != result["nmse_db"]


@pytest.mark.long
def test_bits_writes_every_field(run, tmp_path):
    assert invoke("bits", run, "--json", tmp_path / "bits.json") == 0
    report = json.loads((tmp_path / "bits.json").read_text())
    assert report["file_bits"] == 8 * (run / "network.safetensors").stat().st_size
    assert report["weight_bits"] == 3 * 16 * 32
    stored = report["weight_bits"] + report["scale_bits"] + report["mask_bits"] + report["physics_bits"]
    assert report["file_bits"] <= 1.05 * stored + 8 * 4096
    assert set(report["definitions"]) <= set(report)


@pytest.mark.long
def test_recover_applies_the_network(run, tmp_path):
    from unrollbit import load

    y = np.random.RandomState(0).randn(2, 5, 16).astype(np.float32)
    np.save(tmp_path / "y.npy", y)
    assert invoke("recover", run, tmp_path / "y.npy", tmp_path / "x.npy") == 0
    x = np.load(tmp_path / "x.npy")
    assert x.shape == (2, 5, 32)
    np.testing.assert_allclose(x, load(run / "network.safetensors")(y), rtol=1e-5, atol=1e-6)
    np.save(tmp_path / "y64.npy", y[0, 0].astype(np.float64))
    assert invoke("recover", run, tmp_path / "y64.npy", tmp_path / "one.npy") == 0
    assert np.load(tmp_path / "one.npy").shape == (32,)
    counts = np.round(8 * y[0]).astype(">i2")  # of a converter
    np.save(tmp_path / "counts.npy", counts)
    assert invoke("recover", run, tmp_path / "counts.npy", tmp_path / "x.npy") == 0
    x = np.load(tmp_path / "x.npy")
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, load(run / "network.safetensors")(counts.astype(np.float32)), rtol=1e-5, atol=1e-6)


BAD_MEASUREMENTS = {
    "length": (np.zeros((2, 15), np.float32), "the last axis to have m = 16 entries, got shape (2, 15)"),
    "complex": (np.zeros((2, 16), np.complex64), "got dtype complex64"),
    "text": (np.array([["a"] * 16]), "dtype <U1"),
    "nan": (np.full((2, 16), np.nan, np.float32), "32 entries are NaN, infinite"),
    "infinite": (np.full((1, 16), np.inf), "16 entries are NaN, infinite"),
    "empty": (np.zeros((0, 16), np.float32), "at least one measurement vector"),
    "scalar": (np.float32(1.0), "the last axis to have m = 16 entries"),
    "overflow": (np.full((1, 16), 1e300), "beyond the range of float32"),
}


@pytest.mark.parametrize("case", BAD_MEASUREMENTS)
def test_bad_measurements_are_one_clear_line(run, tmp_path, capsys, case):
    array, message = BAD_MEASUREMENTS[case]
    np.save(tmp_path / "y.npy", array)
    assert invoke("recover", run, tmp_path / "y.npy", tmp_path / "x.npy") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x.npy").exists()


def test_files_that_are_no_measurements(run, tmp_path, capsys):
    assert invoke("recover", run, tmp_path / "none.npy", tmp_path / "x.npy") == 2
    assert "no such file" in capsys.readouterr().err
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        (tmp_path / "bad.npy").write_bytes(content)
        assert invoke("recover", run, tmp_path / "bad.npy", tmp_path / "x.npy") == 2
        assert "not a .npy file" in capsys.readouterr().err
    np.save(tmp_path / "object.npy", np.array([{}], object), allow_pickle=True)
    assert invoke("recover", run, tmp_path / "object.npy", tmp_path / "x.npy") == 2
    assert "not a .npy file" in capsys.readouterr().err
    np.savez(tmp_path / "two.npz", a=np.zeros(2))
    assert invoke("recover", run, tmp_path / "two.npz", tmp_path / "x.npy") == 2
    assert "archive" in capsys.readouterr().err


BAD_CONFIGS = {
    "syntax": ("[problem", "not valid TOML"),
    "no problem": ("[recipe]\n", "[problem] is missing"),
    "unknown key": (CONFIG + "[extra]\n", "unknown 'extra'; it takes seed"),
    "neither": ("[problem]\nkind='SparseRecovery'\n", "either a table [recipe]"),
    "kind": (CONFIG.replace("SparseRecovery", "Sparse"), "unknown problem kind 'Sparse'"),
    "argument": (CONFIG.replace("m = 16", "rows = 16"), "rows"),
    "value": (CONFIG.replace("m = 16", "m = -1"), "expected a positive integer, got -1"),
    "recipe": (CONFIG.replace("designed_signs", "magic"), "got 'magic'"),
    "recipe option": (CONFIG.replace("steps = 30", "step = 30"), "unknown 'step' (did you mean 'steps'?)"),
    "depth": (CONFIG.replace("depth = 3", "depth = 0"), "depth"),
    "seed": (CONFIG.replace("seed = 3", "seed = -3"), "expected a non-negative integer"),
    "no stages": ("[problem]\nkind='SparseRecovery'\n[network]\ndepth=2\n", "at least one stage"),
    "missing file": (
        "[problem]\nkind='ArrayProblem'\nmatrix='A.npy'\nsignals='x.npy'\n[recipe]\n",
        "A.npy",
    ),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configs_are_one_clear_line(tmp_path, capsys, case):
    text, message = BAD_CONFIGS[case]
    (tmp_path / "c.toml").write_text(text)
    assert invoke("train", tmp_path / "c.toml", "--out", tmp_path / "run", "--quiet") == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_users_own_arrays(tmp_path):
    random = np.random.RandomState(0)
    A = random.randn(10, 20).astype(np.float32) / 3
    x = random.randn(60, 20) * (random.rand(60, 20) < 0.2)
    np.save(tmp_path / "A.npy", A)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "own.toml").write_text(
        "[problem]\nkind='ArrayProblem'\nmatrix='A.npy'\nsignals='x.npy'\nsnr_db=30.0\n"
        "[network]\ndepth=3\nalgorithm={kind='ISTA', regularisation=0.05}\nweights={kind='OneBit', scale='row'}\n"
        "[[stages]]\nsteps=5\nbatch=4\nquantised=false\n[[stages]]\nsteps=5\nbatch=4\n"
    )
    assert invoke("train", tmp_path / "own.toml", "--out", tmp_path / "run", "--quiet") == 0
    assert invoke("evaluate", tmp_path / "run", "--no-classic", "--json", tmp_path / "e.json") == 0
    assert json.loads((tmp_path / "e.json").read_text())["samples"] == 6


def test_wrong_paths_and_options(run, tmp_path, capsys):
    assert invoke("evaluate", tmp_path / "none") == 2
    assert "no such file" in capsys.readouterr().err
    assert invoke("bits", tmp_path) == 2
    assert "no network.safetensors inside" in capsys.readouterr().err
    assert invoke("train", run.parent / "small.toml", "--out", run) == 2
    assert "not empty" in capsys.readouterr().err
    assert invoke("train", run.parent / "small.toml", "--out", tmp_path / "new", "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        invoke("evaluate", run, "--samples", "many")
    assert stop.value.code == 2
    assert "expected an integer" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        invoke(command, "--help")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert all(option in text for option in ("--seed", "--out", "--json"))


@pytest.mark.slow
def test_a_killed_training_resumes_to_the_same_bytes(tmp_path):
    config = CONFIG.replace("steps = 30", "steps = 3000")
    (tmp_path / "c.toml").write_text(config)
    command = [sys.executable, "-m", "unrollbit", "train", str(tmp_path / "c.toml"), "--quiet", "--out"]
    process = subprocess.Popen([*command, str(tmp_path / "killed")], stderr=subprocess.PIPE)
    checkpoints = tmp_path / "killed" / "checkpoints"
    deadline = time.monotonic() + 120
    while not (checkpoints.exists() and any(checkpoints.glob("*.npz"))):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "network.safetensors").exists()
    subprocess.run([*command, str(tmp_path / "killed"), "--resume"], check=True, capture_output=True)
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    from unrollbit import load

    killed, whole = (load(tmp_path / name / "network.safetensors") for name in ("killed", "whole"))
    for name, values in whole.network.scalars.items():
        np.testing.assert_array_equal(killed.network.scalars[name][...], values[...])
    signs = [packed.network.maps["W"].inner.arrays["signs"][...] for packed in (killed, whole)]
    np.testing.assert_array_equal(*signs)
