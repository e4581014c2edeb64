"""Problems as values, and what is refused."""

import copy
import dataclasses
import importlib
import pickle
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from unrollbit.problems import (
    ArrayProblem,
    BlockSparseRecovery,
    EEGCompressiveRecovery,
    Problem,
    SinglePixelCamera,
    SparseRecovery,
)

RNG = np.random.RandomState(0)
A, X = RNG.randn(8, 16).astype(np.float32), RNG.randn(50, 16).astype(np.float32)
MAKERS = {
    "sparse": partial(SparseRecovery, 16, 32),
    "blocks": partial(BlockSparseRecovery, 4, 8, 16),
    "eeg": EEGCompressiveRecovery,
    "single pixel": SinglePixelCamera,
}


def test_unknown_kinds_and_arguments_are_refused():
    with pytest.raises(ValueError, match=r"unknown problem kind 'Nothing'; expected one of .*SparseRecovery"):
        Problem.from_spec({"kind": "Nothing"})
    with pytest.raises(ValueError, match="unknown problem kind None"):
        Problem.from_spec({})
    with pytest.raises(ValueError, match=r"problem EEGCompressiveRecovery: .*speed"):
        Problem.from_spec({"kind": "EEGCompressiveRecovery", "speed": 1})
    assert set(Problem.kinds) >= {"SparseRecovery", "ArrayProblem"}
    assert all(dataclasses.is_dataclass(kind) for kind in Problem.kinds.values())


@pytest.mark.parametrize("kind", ["sparse", "blocks", "eeg", "single pixel"])
def test_wrong_arguments_are_named(kind):
    make = MAKERS[kind]
    with pytest.raises(ValueError, match=r"matrix: expected one of .*got 'dense'"):
        make(matrix="dense")
    with pytest.raises(ValueError, match="snr_db: expected a finite number"):
        make(snr_db=float("nan"))
    share = "sparsity" if kind in ("sparse", "blocks") else "ratio"
    for wrong in (0, 1.5, "half", True):
        with pytest.raises(ValueError, match=f"{share}: expected a fraction"):
            make(**{share: wrong})
    if kind == "sparse":
        return
    for wrong in (-1, 1.5, True, 2**31):
        with pytest.raises(ValueError, match="seed: expected an integer"):
            make(seed=wrong)


def test_top_level_package_has_the_same_objects(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2])
    for name in [name for name in sys.modules if name == "problems" or name.startswith("problems.")]:
        monkeypatch.delitem(sys.modules, name)
    top = importlib.import_module("problems")
    assert top.Problem is Problem
    assert top.EEGCompressiveRecovery is EEGCompressiveRecovery
    assert set(top.__all__) == set(importlib.import_module("unrollbit.problems").__all__)
    assert not [name for name in sys.modules if name.startswith("problems.")]


def test_problems_are_values_and_one_name_is_one_class():
    problem, again = ArrayProblem(A, X), ArrayProblem(A, X)
    assert (problem == again) is True
    assert (problem == problem.split("test")) is False
    assert hash(problem) == hash(again)
    for twin in (copy.copy(problem), copy.deepcopy(problem), pickle.loads(pickle.dumps(problem))):
        assert twin == problem
    with pytest.raises(TypeError, match="already has a kind 'SparseRecovery'"):
        type("SparseRecovery", (Problem,), {})
    assert "ImageProblem" not in Problem.kinds
