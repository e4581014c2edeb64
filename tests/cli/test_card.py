"""The model card: its figures are those of ``evaluate`` and ``bits``, its text tells nothing about the maker's disk."""

import json

import numpy as np
import pytest

from unrollbit import ADMM, AMP, FullyConnected, Unrolled, load, pack
from unrollbit.algorithms import ISTA
from unrollbit.bits import DEFINITIONS
from unrollbit.cli import main
from unrollbit.cli.beside import verdict
from unrollbit.cli.card_facts import describe, describe_map, read_training
from unrollbit.formats import Anchored, Coherent, Fixed, FullPrecision, Normalised, OneBit
from unrollbit.operators import Preconditioned
from unrollbit.packed_operators import sign_planes
from unrollbit.problems import ArrayProblem, SparseRecovery

CONFIG = """
[problem]
kind = "SparseRecovery"
m = 16
n = 32
snr_db = 30.0
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
    folder = tmp_path_factory.mktemp("card")
    (folder / "small.toml").write_text(CONFIG)
    assert invoke("train", folder / "small.toml", "--out", folder / "run", "--quiet") == 0
    return folder / "run"


@pytest.fixture(scope="module")
def card(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    out, figures = folder / "CARD.md", folder / "card.json"
    arguments = ("card", run / "network.safetensors", "--seeds", 3, "--samples", 300, "--out", out, "--json", figures)
    assert invoke(*arguments) == 0
    return out.read_text(encoding="utf-8"), json.loads(figures.read_text())


def cells(text, first):
    """The cells of the row of a table that starts with ``first``."""
    (row,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.long
def test_the_figures_are_those_of_evaluate(run, card, tmp_path):
    text, figures = card
    assert [row["seed"] for row in figures["seeds"]] == [1, 2, 3]
    for row in figures["seeds"]:
        out = tmp_path / f"{row['seed']}.json"
        invoke("evaluate", run, "--no-classic", "--samples", 300, "--seed", row["seed"], "--json", out)
        evaluated = json.loads(out.read_text())
        names = ("nmse_db_mean_of_db", "nmse_db", "failures")
        assert [row[name] for name in names] == [evaluated[name] for name in names]
        shown = cells(text, row["seed"])
        assert shown[1:3] == [f"{evaluated[name]:.2f}" for name in names[:2]]
        assert float(shown[3].removesuffix(" %")) == pytest.approx(100 * evaluated["failures"], abs=1e-3)
        if row["seed"] == 1:
            assert figures["nmse_db_mean_of_db_per_layer"] == evaluated["nmse_db_mean_of_db_per_layer"]
            levels = ", ".join(f"{level:.1f}" for level in evaluated["nmse_db_mean_of_db_per_layer"])
            assert f"layers 1 to 3 (seed 1): {levels}." in text


@pytest.mark.long
def test_mean_and_spread_are_those_of_the_rows(card):
    text, figures = card
    for name in ("nmse_db_mean_of_db", "nmse_db", "failures"):
        values = [row[name] for row in figures["seeds"]]
        assert figures["mean"][name] == pytest.approx(np.mean(values))
        assert figures["spread"][name] == pytest.approx(max(values) - min(values))
    mean, spread = (figures[key]["nmse_db"] for key in ("mean", "spread"))
    assert cells(text, "**mean (max - min)**")[2] == f"{mean:.2f} ({spread:.2f})"
    assert "300 test signals of each seed" in text


@pytest.mark.long
def test_bits_are_those_of_the_file_with_their_definitions(run, card):
    text, figures = card
    bits = load(run / "network.safetensors").bits()
    for name, key in (("weight bits", "weight_bits"), ("scale bits", "scale_bits"), ("physics bits", "physics_bits")):
        assert cells(text, name)[1:] == [f"{getattr(bits, key):,}", DEFINITIONS[key]]
    assert cells(text, "stored bits per link")[1:] == [f"{bits.bits_per_link:.4g}", DEFINITIONS["bits_per_link"]]
    assert cells(text, "resident bits per link")[1] == f"{bits.resident_bits_per_link:.4g}"
    assert cells(text, "resident bits per entry of A")[1] == f"{bits.resident_bits / (16 * 32):.4g}"
    size = (run / "network.safetensors").stat().st_size
    assert cells(text, "file bytes")[1] == f"{size:,}"
    assert figures["file_bytes"] == size
    assert figures["bits"]["resident_bits_per_entry"] == bits.resident_bits / (16 * 32)


@pytest.mark.long
def test_the_text_says_what_the_network_is_and_how_it_was_trained(card):
    text, figures = card
    assert text.startswith(
        "# network\n\nAMP, 3 layers. W (16 x 32): one-bit, 1 sign plane, no scale, untied (3 matrices)"
    )
    assert cells(text, "snr_db")[1] == "`30.0`"
    assert cells(text, "command")[1] == "`unrollbit train small.toml --seed 0`"
    assert cells(text, "steps")[1] == "30"
    assert cells(text, "training time")[1].endswith(" s")
    assert '"name": "designed_signs"' in text
    assert "unrollbit evaluate network.safetensors --seed N --samples 300" in text
    assert "`unrollbit card network.safetensors --seeds 3 --samples 300`" in text
    assert figures["command"] == "unrollbit card network.safetensors --seeds 3 --samples 300"


@pytest.mark.long
def test_the_python_of_the_card_runs(run, card, monkeypatch):
    text, _ = card
    monkeypatch.chdir(run)
    held = {"y": np.zeros((2, 16), np.float32)}
    exec(text.split("```python\n")[1].split("```")[0], held)
    assert held["x"].shape == (2, 32)


@pytest.mark.long
def test_the_card_lies_beside_the_file_and_starts_at_any_seed(run, capsys):
    assert invoke("card", run, "--seeds", 1, "--seed", 7, "--samples", 20) == 0
    text = (run / "network.md").read_text(encoding="utf-8")
    assert cells(text, 7)
    assert "--samples 20 --seed 7`" in text
    captured = capsys.readouterr()
    assert "stored bits per link" in captured.out
    assert "measuring" in captured.err


@pytest.mark.long
def test_data_have_one_test_set_and_no_path_is_shown(tmp_path):
    random = np.random.RandomState(0)
    np.save(tmp_path / "A.npy", random.randn(8, 16))
    np.save(tmp_path / "x.npy", random.randn(40, 16))
    problem = ArrayProblem(tmp_path / "A.npy", tmp_path / "x.npy", folder=tmp_path)
    net = Unrolled(ISTA(regularisation=0.1), problem, 2)
    training = {
        "command": f"python {tmp_path}/train.py --out={tmp_path}/run",
        "config": {"problem": {"folder": "~/data"}},
    }
    file = pack(net, problem=problem, training=training).save(tmp_path / "own.safetensors")
    assert invoke("card", file, "--seeds", 4, "--json", tmp_path / "card.json") == 0
    text, figures = (tmp_path / "own.md").read_text(encoding="utf-8"), json.loads((tmp_path / "card.json").read_text())
    assert len(figures["seeds"]) == 1
    assert "The problem has one test set: 4 test signals (all there are), so there is one row and no spread." in text
    assert "max - min" not in text
    assert "--seed 1 --samples 4" in text
    for written in (text, json.dumps(figures)):
        assert str(tmp_path) not in written
        assert "~/" not in written
    assert cells(text, "command")[1] == "`python train.py --out=run`"
    assert cells(text, "matrix")[1] == "`A.npy`"
    assert cells(text, "training time")[1] == "not recorded"


def test_descriptions_come_from_the_network():
    problem = SparseRecovery(8, 16)

    def line(weights, physics=None, **options):
        return describe(pack(Unrolled(AMP(), physics or problem, 4, weights, **options), problem=problem))[
            "description"
        ]

    assert "one-bit, 1 sign plane, layer scale, tied (1 matrix)" in line(OneBit(), distinct=1)
    assert "cycled (2 matrices)" in line(OneBit(), distinct=2)
    assert "full precision (32-bit floats), untied (4 matrices)" in line(FullPrecision())
    assert "columns normalised with A, anchored (added to A)" in line(Normalised(Anchored(OneBit())))
    admm = Unrolled(ADMM(), problem, 4, Anchored(OneBit()))
    assert "anchored (added to the start value that A determines)" in describe(pack(admm))["description"]
    assert "W (8 x 16): not learned: A itself." in line(Fixed())
    assert "least coherence" in line(Coherent(Fixed()))
    assert "as measured (Dense), held in 32 bits per entry" in line(Fixed())
    assert "preconditioned (delta = 0.1)" in line(Fixed(), Preconditioned.of(problem.operator, 0.1))
    assert "held in 3 sign planes" in line(Fixed(), sign_planes(problem.operator, 3))
    relu = describe(pack(FullyConnected(problem, 3), problem=problem))["description"]
    assert relu.startswith("Fully connected ReLU network, 3 layers. first (16 x 8)")
    assert "Physics" not in relu
    one = Unrolled(AMP(), problem, 1)
    assert describe_map("W", one.maps["W"], 1) == "W (8 x 16): one-bit, 1 sign plane, layer scale, 1 matrix"


def test_steps_are_recorded_or_read_off_the_config():
    net = Unrolled(AMP(), SparseRecovery(8, 16), 2)
    for training, steps in (
        ({"steps": 5, "config": {"recipe": {"steps": 9}}}, 5),
        ({"config": {"recipe": {"steps": 9}}}, 9),
        ({"config": {"stages": [{"steps": 3}, {"steps": 4}]}}, 7),
        ({"config": {"recipe": {}}}, None),
        (None, None),
    ):
        assert read_training(pack(net, training=training))["steps"] == steps


@pytest.mark.long
def test_mistakes_are_one_clear_line(run, tmp_path, capsys):
    file = run / "network.safetensors"
    before = file.read_bytes()
    bare = pack(load(file).network).save(tmp_path / "bare.safetensors")
    memory = ArrayProblem(np.eye(4), np.eye(4))
    inline = pack(Unrolled(AMP(), memory, 1), problem=memory).save(tmp_path / "inline.safetensors")
    for arguments, message in (
        ((tmp_path / "none.safetensors",), "no such file"),
        ((tmp_path,), "no network.safetensors inside"),
        ((file, "--out", tmp_path), "expected a file to write, got the folder"),
        ((file, "--out", file), "is an input"),
        ((file, "--seed", 2**32 - 1, "--seeds", 2), "seeds go up to"),
        ((bare,), "carries no problem"),
        ((inline,), "given in memory"),
    ):
        assert invoke("card", *arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    for option in ("--seeds", "--samples"):
        with pytest.raises(SystemExit):
            invoke("card", file, option, 0)
        assert "expected an integer from 1" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.long
def test_the_card_says_what_is_ahead_of_the_network(card):
    text, figures = card
    levels = {row["method"]: row["nmse_db"] for row in figures["baselines"]}
    own = levels.pop("network")
    ahead = [name for name, level in levels.items() if level <= own]
    (said,) = [line for line in text.splitlines() if line.startswith("The network is ")]
    assert ahead  # a network of two dozen steps
    assert "not ahead of" in said
    assert all(f"{name} (" in said for name in ahead)
    assert cells(text, "omp")[1] == f"{levels['omp']:.2f}"


def test_the_sentence_goes_by_the_psnr_of_images():
    rows = [
        {"method": "network", "nmse_db": -20.0, "psnr_db": 30.0},
        {"method": "tikhonov", "nmse_db": -21.0, "psnr_db": 29.0},
    ]
    assert verdict(rows) == "The network is ahead of all of these; the next best is tikhonov."
    rows.append({"method": "total variation", "nmse_db": -19.0, "psnr_db": 35.4})
    assert verdict(rows) == "The network is not ahead of total variation (35.4 dB against its 30.0 dB of PSNR)."
