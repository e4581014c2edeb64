"""The robustness study: every network under four conditions, in tables and one figure."""

import json

import numpy as np
import pytest

from unrollbit import AMP, Unrolled, load, pack
from unrollbit.cli import main
from unrollbit.cli.accuracy import accuracy, draw_test
from unrollbit.cli.networks import problem_of
from unrollbit.cli.studies.robustness import CONDITIONS, changes_of
from unrollbit.cli.studies.shelf import network_files
from unrollbit.plots import accuracy_under_changes
from unrollbit.problems import EEGCompressiveRecovery, SparseRecovery


def invoke(*arguments):
    return main([str(argument) for argument in arguments])


def packed_network(path, problem, *, carried=True):
    return pack(Unrolled(AMP(), problem, 2), problem=problem if carried else None).save(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("robustness")
    packed_network(folder / "noiseless.safetensors", SparseRecovery(16, 32))
    packed_network(folder / "noisy.safetensors", SparseRecovery(16, 32, sparsity=0.2, snr_db=20))
    packed_network(folder / "waves.safetensors", EEGCompressiveRecovery())
    packed_network(folder / "bare.safetensors", SparseRecovery(16, 32), carried=False)
    return folder


@pytest.mark.slow
def test_the_study_measures_every_network_and_draws(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert invoke("reproduce", "robustness", folder, "--quick", "--workers", 1, "--out", out) == 0
    report = json.loads((out / "report.json").read_text())
    rows = report["rows"]
    assert [(row["network"], row["condition"]) for row in rows] == [
        (name, condition) for name in ("noiseless", "noisy") for condition in CONDITIONS
    ]
    assert report["signals"] == 2000
    assert report["skipped"] == {
        "bare": "its file carries no problem",
        "waves": "EEGCompressiveRecovery has no sparsity",
    }
    packed = load(folder / "noisy.safetensors")
    for row in rows[4:]:
        problem = problem_of(packed, row["changed"])
        expected = accuracy(packed.network, problem, *draw_test(problem, 1, 2000)[:2])
        assert row["nmse_db_mean_of_db"] == pytest.approx(expected["nmse_db_mean_of_db"], abs=1e-3)
        assert row["failures"] == pytest.approx(expected["failures"], abs=1e-3)
    printed = " ".join(capsys.readouterr().out.split())
    assert "skipped: waves (EEGCompressiveRecovery has no sparsity)" in printed
    assert "SNR 15 dB" in printed
    assert "trained without" in printed
    for suffix in ("png", "pdf"):
        assert (out / "figures" / f"robustness.{suffix}").stat().st_size > 3000


def test_conditions():
    assert changes_of({"sparsity": 0.1}) == {
        "as trained": {},
        "0.5x sparsity": {"sparsity": 0.05},
        "1.5x sparsity": {"sparsity": 0.15},
        "noisier": {"snr_db": 40.0},
    }
    found = changes_of({"sparsity": 0.8, "snr_db": 20.0})
    assert found["1.5x sparsity"] == {"sparsity": 1.0}
    assert found["noisier"] == {"snr_db": 15.0}


def test_networks_are_found_once_by_names_of_their_own(folder, tmp_path, monkeypatch):
    run = tmp_path / "run-3"
    other = packed_network(tmp_path / "noisy.safetensors", SparseRecovery(8, 16))
    packed_network(run / "network.safetensors", SparseRecovery(8, 16))
    given = [run, folder / "noisy.safetensors", folder, other]
    names = network_files(given)
    assert len(names) == 6
    assert names["run-3"] == run / "network.safetensors"
    assert names[other.as_posix()] == other
    assert "noisy" not in names  # two files of that name: their paths tell them apart
    examples = tmp_path / "examples" / "networks"
    packed_network(examples / "shipped.safetensors", SparseRecovery(8, 16))
    monkeypatch.chdir(tmp_path)
    assert list(network_files([])) == ["shipped"]


def test_mistakes_are_one_clear_line(folder, tmp_path, monkeypatch, capsys):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"nothing")
    for arguments, message in (
        ((), "examples/networks: no packed networks (.safetensors) here; name files or folders"),
        ((empty,), "empty: no packed networks (.safetensors) here"),
        ((tmp_path / "none.safetensors",), "no such file"),
        ((damaged,), "not a readable safetensors file"),
        (
            (folder / "waves.safetensors", folder / "bare.safetensors"),
            "none of the networks can be given signals of another sparsity: waves (EEGCompressiveRecovery has no "
            "sparsity), bare (its file carries no problem)",
        ),
    ):
        assert invoke("reproduce", "robustness", *arguments, "--out", tmp_path / "out") == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_figure_has_a_dot_for_every_level():
    levels = {"a": {"as trained": -30.0, "noisier": -20.0}, "b": {"as trained": -10.0, "noisier": float("nan")}}
    figure = accuracy_under_changes(levels, {"a": {"noisier": "SNR 15 dB"}, "b": {"noisier": "not drawn"}})
    (axes,) = figure.axes
    dots = {
        line.get_label(): np.asarray(line.get_xdata()).tolist()
        for line in axes.get_lines()
        if line.get_linestyle() == "None"
    }
    assert dots["as trained"] == [-30.0, -10.0]
    assert dots["noisier"][0] == -20.0
    assert [text.get_text() for text in axes.texts] == ["SNR 15 dB"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    for nothing in ({}, {"a": {}}):
        with pytest.raises(ValueError, match="expected at least one network"):
            accuracy_under_changes(nothing)
