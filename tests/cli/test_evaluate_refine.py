"""``evaluate --refine``: what repeating the last layers makes of the same test signals."""

import json

import pytest

from unrollbit import AMP, FullyConnected, Unrolled, load, pack, refine
from unrollbit.cli import main
from unrollbit.cli.accuracy import draw_test
from unrollbit.formats import Fixed
from unrollbit.problems import SparseRecovery

PROBLEM = SparseRecovery(32, 64, sparsity=0.05)


@pytest.mark.long
def test_the_refined_row_is_that_of_refine(tmp_path, capsys):
    network = Unrolled(AMP(PROBLEM.prior()), PROBLEM, 4, Fixed())
    file, out = pack(network, problem=PROBLEM).save(tmp_path / "net.safetensors"), tmp_path / "result.json"
    arguments = ["evaluate", str(file), "--refine", "--no-classic", "--samples", "150", "--json", str(out)]
    assert main(arguments) == 0
    result = json.loads(out.read_text())
    x, y, _ = draw_test(PROBLEM, 1, 150)
    found = refine(load(file).network, y)
    expected = PROBLEM.metrics(found.x, x)
    assert {name: result["refined"][name] for name in expected} == expected
    assert result["refined"]["layers_mean"] == pytest.approx(float(found.layers.mean()), rel=1e-6)
    assert result["refined"]["layers_max"] == int(found.layers.max()) > 4
    assert result["refined"]["nmse_db_mean_of_db"] < result["nmse_db_mean_of_db"] - 10
    assert "last layers repeated (mean)" in capsys.readouterr().out
    assert main([*arguments[:2], *arguments[3:]]) == 0
    assert "refined" not in json.loads(out.read_text())


def test_fully_connected_networks_have_no_layers_to_repeat(tmp_path, capsys):
    file = pack(FullyConnected(PROBLEM, 3, 64), problem=PROBLEM).save(tmp_path / "net.safetensors")
    assert main(["evaluate", str(file), "--refine", "--no-classic", "--samples", "10"]) == 2
    assert "--refine: only unrolled networks have layers to repeat" in capsys.readouterr().err
