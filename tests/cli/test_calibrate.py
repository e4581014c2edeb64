"""``unrollbit calibrate``, ``recover --error-bar`` and what a card says of certificates."""

import json

import numpy as np
import pytest

from unrollbit import AMP, Unrolled, load, pack
from unrollbit.cli import main
from unrollbit.cli.card_text import _certificates
from unrollbit.problems import SparseRecovery


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrate")
    problem = SparseRecovery(16, 24)
    file = pack(Unrolled(AMP(), problem, 2), problem=problem).save(folder / "net.safetensors")
    out = folder / "calibrated.safetensors"
    assert (
        main(["calibrate", str(file), "--out", str(out), "--signals", "400", "--json", str(folder / "made.json")]) == 0
    )
    return folder, file, out


@pytest.mark.long
def test_a_copy_with_certificates_is_written_and_the_network_left_alone(calibrated, capsys):
    folder, file, out = calibrated
    made = json.loads((folder / "made.json").read_text())["certificates"]
    assert load(file).certificates is None
    assert load(out).certificates == made
    assert made["share"] == 0.99
    assert main(["calibrate", str(file), "--out", str(file)]) == 2
    assert "nothing is written over" in capsys.readouterr().err
    assert main(["calibrate", str(file), "--level", "1"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    assert not (folder / "net-calibrated.safetensors").exists()


@pytest.mark.long
def test_error_bars_are_written_beside_estimates(calibrated, capsys):
    folder, file, out = calibrated
    y = np.random.RandomState(0).standard_normal((3, 16))
    np.save(folder / "y.npy", y)
    arguments = [str(folder / "y.npy"), str(folder / "x.npy"), "--error-bar"]
    assert main(["recover", str(out), *arguments, "--json", str(folder / "r.json")]) == 0
    bars = np.load(folder / "x-error-bar.npy")
    x, expected = load(out).recover(y.astype(np.float32), error_bar=True)
    np.testing.assert_allclose(bars, expected, rtol=1e-5)
    np.testing.assert_allclose(np.load(folder / "x.npy"), x, atol=1e-5)
    assert json.loads((folder / "r.json").read_text())["error_bar"].endswith("x-error-bar.npy")
    assert main(["recover", str(file), *arguments]) == 2
    assert "unrollbit calibrate" in capsys.readouterr().err
    assert main(["recover", str(out), *arguments, "--refine"]) == 2
    assert "leave --refine out" in capsys.readouterr().err


@pytest.mark.long
def test_a_card_says_it_in_words(calibrated):
    text = _certificates(load(calibrated[2]).certificates)
    assert "99 % of signals are recovered to an NMSE below" in text
    assert "covers 90 % of signals" in text
    assert "Nothing is certified of other signals" in text
    assert "unrollbit calibrate" in _certificates(None)
