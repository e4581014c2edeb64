"""A theorem of the user's own: one file outside the library, listed and examined like those of the library."""

import importlib.util
import json
import sys

import pytest

from unrollbit import GradientDescent, Unrolled, pack
from unrollbit.cli import main
from unrollbit.problems import SparseRecovery
from unrollbit.theory import Settings, audit, summarise, theorems
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.registry import unregister

SOURCE = '''
"""Gradient descent explains the measurements at the rate of its steps."""
import numpy as np

from unrollbit.theory import Report, Signal, theorem
from unrollbit.theory.report import upper_bound
from unrollbit.theory.trajectory import recover


@theorem("stationarity", "the estimate explains y", "residual", on=Signal, examine=lambda at: X1(at.form, at.y))
def X1(form, y) -> Report:
    """``||y - A f(y)|| <= prod ||I - A G_k|| ||y||`` for gradient descent."""
    bound = np.linalg.norm(y) * np.prod([np.linalg.norm(np.eye(len(y)) - form.A @ G, 2) for G in form.G])
    found = np.linalg.norm(y - form.A @ recover(form, y))
    size = np.linalg.norm(y)
    return upper_bound("X1", bound, found, size, {"gradient descent": form.form == "gd"}, size=size)
'''


@pytest.fixture
def module(tmp_path):
    (tmp_path / "my_theorem.py").write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("my_theorem", tmp_path / "my_theorem.py")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["my_theorem"] = loaded
    spec.loader.exec_module(loaded)
    yield loaded
    unregister("X1")
    del sys.modules["my_theorem"]


@pytest.mark.usefixtures("module")
def test_it_is_one_file_and_gets_a_row_like_every_other():
    assert len(SOURCE.strip().splitlines()) <= 20
    assert list(theorems())[-1] == "X1"  # families of the library come first
    form = random_form("gd", 0, m=12, n=8, depth=3)
    x, y, _ = sparse_signals(form, 0, 4)
    (row,) = [row for row in summarise(audit.deterministic(form, x, y, Settings(attacked=1))) if row.theorem == "X1"]
    assert (row.status, row.applies, row.family) == ("holds", "4 / 4", "stationarity")
    assert row.measured < row.bound
    assert row.row()["statement"] == "the estimate explains y"
    other = random_form("ista", 0)
    x, y, _ = sparse_signals(other, 0, 1)
    (report,) = [each for each in audit.deterministic(other, x, y, Settings(attacked=1)) if each.theorem == "X1"]
    assert report.status == "not applicable"


@pytest.mark.usefixtures("module")
def test_a_network_without_a_normal_form_lists_it_too():
    assert "X1" in {report.theorem for report in audit.outside("none")}


def test_a_second_theorem_of_a_name_is_refused(tmp_path):
    source = SOURCE.replace("X1", "S1")
    (tmp_path / "second.py").write_text(source)
    spec = importlib.util.spec_from_file_location("second", tmp_path / "second.py")
    with pytest.raises(ValueError, match=r"theorem S1: unrollbit\.theory\.stability\.lipschitz already has one"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert theorems()["S1"].summary == "global Lipschitz recursion"


@pytest.mark.long
def test_the_command_lists_it_after_an_import(tmp_path):
    problem = SparseRecovery(12, 8, sparsity=1.0)
    file = pack(Unrolled(GradientDescent(), problem, 2), problem=problem).save(tmp_path / "net.safetensors")
    (tmp_path / "of_mine.py").write_text(SOURCE)
    small = [
        "--signals",
        "3",
        "--attacked",
        "1",
        "--sample",
        "100",
        "--held-out",
        "20",
        "--json",
        str(tmp_path / "found.json"),
    ]
    try:
        assert main(["theory", str(file), "--import", str(tmp_path / "of_mine.py"), *small]) == 0
    finally:
        unregister("X1")
    rows = {row["theorem"]: row for row in json.loads((tmp_path / "found.json").read_text())["rows"]}
    assert (rows["X1"]["status"], rows["X1"]["applicable"]) == ("holds", 3)
