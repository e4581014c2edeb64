"""Rows of a user's own signals: on a grid, in a transform, in three files, with physics from files and tables."""

from __future__ import annotations

import json
import sys

import jax
import numpy as np
import pytest
import scipy.sparse

from unrollbit import FISTA, FullPrecision, Stage, Unrolled, fit, load, pack
from unrollbit.cli.config import build_run
from unrollbit.cli.networks import problem_of
from unrollbit.operators import Convolution, Rademacher
from unrollbit.problems import ArrayProblem, Poisson, Problem
from unrollbit.problems.base import SUBSETS

RNG = np.random.RandomState(0)
SIGNALS = np.cumsum(RNG.standard_normal((30, 16)), 1).astype(np.float32)
A = RNG.standard_normal((8, 16)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own", raising=False)
    np.save("A.npy", A)
    np.save("x.npy", SIGNALS)
    np.savetxt("x.csv", SIGNALS, delimiter=",", header=",".join(f"t{i}" for i in range(16)), comments="")
    scipy.sparse.save_npz("A.npz", scipy.sparse.csr_array(np.where(A > 0, A, 0)))
    (tmp_path / "own.py").write_text("import numpy as np\nB = np.eye(16)[::2]\ndef make():\n    return 2 * B\n")
    return tmp_path


@pytest.mark.long
def test_a_grid_and_a_transform():
    plain = ArrayProblem(A, SIGNALS, shape=16)
    described = ArrayProblem(A, SIGNALS, shape=16, transform="wavelet", wavelet="db1")
    assert (plain.signal_shape, described.signal_shape, ArrayProblem(A, SIGNALS).signal_shape) == ((16,), None, None)
    assert ArrayProblem(A, SIGNALS, shape=(4, 4)).signal_shape == (4, 4)
    for subset in SUBSETS:
        x, y = plain.split(subset).all()
        coefficients, same = described.split(subset).all()
        np.testing.assert_allclose(described.signal(coefficients), x, atol=1e-5)
        np.testing.assert_allclose(same, y, atol=1e-4)
    np.testing.assert_array_equal(described.measurement.dense(), A)
    assert plain.prior().sparsity > 0.5  # not sparse
    sparse = np.where(RNG.uniform(size=(200, 16)) < 0.05, RNG.standard_normal((200, 16)), 0)
    assert ArrayProblem(A, sparse).prior().sparsity == pytest.approx(0.05, rel=0.5)


def test_three_sets_of_windows_stay_apart(folder):
    windows = [SIGNALS[:20], SIGNALS[20:25], SIGNALS[25:]]
    problem = ArrayProblem(A, windows)
    for subset, rows in zip(SUBSETS, windows, strict=True):
        np.testing.assert_array_equal(problem.split(subset).all()[0], rows)
    for name, rows in zip(SUBSETS, windows, strict=True):
        np.save(f"{name}.npy", rows)
    files = ArrayProblem("A.npy", [f"{name}.npy" for name in SUBSETS], snr_db=30.0)
    assert Problem.from_spec(json.loads(json.dumps(files.to_spec()))) == files
    found = Problem.from_spec(files.recipe(), data=[folder])
    for subset in SUBSETS:
        np.testing.assert_array_equal(found.split(subset).all()[1], files.split(subset).all()[1])
    measured = ArrayProblem(A, windows, [rows @ A.T + 1 for rows in windows]).split("test")
    np.testing.assert_allclose(measured.all()[1], windows[2] @ A.T + 1, atol=1e-4)


@pytest.mark.parametrize(
    ("matrix", "dense"),
    [
        ("A.npy", A),
        ("A.npz", np.where(A > 0, A, 0)),
        ("own.py:B", np.eye(16)[::2]),
        ("own.py:make", 2 * np.eye(16)[::2]),
        ({"kind": "Convolution", "kernel": [1.0, 2.0, 3.0]}, None),
        ({"kind": "Rademacher", "m": 8, "n": 16, "seed": 3}, None),
    ],
)
def test_physics_of_files_and_tables(folder, matrix, dense):
    config = {"kind": "ArrayProblem", "matrix": matrix, "signals": "x.csv", "shape": 16}
    problem = Problem.from_spec(Problem.beside(config, folder))
    if dense is None:
        dense = {"Convolution": Convolution.of([1.0, 2, 3], 16), "Rademacher": Rademacher(8, 16, 3)}[
            matrix["kind"]
        ].dense()
    np.testing.assert_allclose(problem.operator.dense(), dense, atol=1e-6)
    np.testing.assert_allclose(np.sort(np.concatenate([p.ravel() for p in problem.samples])), np.sort(SIGNALS.ravel()))
    again = Problem.from_spec(json.loads(json.dumps(problem.to_spec())))
    np.testing.assert_array_equal(again.split("test").all()[1], problem.split("test").all()[1])


@pytest.mark.long
def test_toml_is_beside_its_data(folder, monkeypatch):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    problem = {"kind": "ArrayProblem", "matrix": "own.py:B", "signals": "x.npy", "transform": "dct", "snr_db": 30.0}
    run = build_run({"problem": problem, "recipe": {"name": "full_precision", "depth": 2, "steps": 2}}, folder)
    fit(run.network, run.problem, Stage(2, batch=4), progress=False)
    pack(run.network, problem=run.problem).save("network.safetensors")
    found = problem_of(load("network.safetensors"), data=folder)
    np.testing.assert_allclose(found.split("test").all()[1], run.problem.split("test").all()[1], atol=1e-5)


def test_complex_measurements_are_given_as_they_are():
    C = RNG.standard_normal((4, 16)) + 1j * RNG.standard_normal((4, 16))
    problem = ArrayProblem(C, SIGNALS, SIGNALS @ C.T)
    x, y = problem.all()
    np.testing.assert_allclose(y, problem.operator(x), atol=1e-4)


def test_counts_of_own_signals():
    rows = np.abs(SIGNALS)
    x, y = ArrayProblem(np.eye(16), rows, noise=Poisson(photons=30)).sample(jax.random.key(0), 5)
    np.testing.assert_allclose(y * 30, np.round(y * 30), atol=1e-3)
    net = Unrolled(FISTA(), ArrayProblem(np.eye(16), rows), 2, FullPrecision())
    assert net(y).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"shape": 15}, "shape: .15,. has 15 samples, but the physics measures n = 16"),
        ({"shape": (2, 2, 4)}, "shape: expected n or .height, width."),
        ({"matrix": "own.py:C"}, "matrix: 'own.py:C' is not there"),
        ({"matrix": "other.py:C"}, "matrix: import other.py"),
        ({"matrix": {"kind": "Blur"}}, "unknown kind of LinearOperator 'Blur'"),
        ({"signals": "x.npz"}, "signals: no such file: x.npz"),
        ({"transform": "fourier"}, "transform: expected one of"),
    ],
)
def test_wrong_arguments_are_named(folder, arguments, message):
    with pytest.raises(ValueError, match=message):
        ArrayProblem(**{"matrix": A, "signals": SIGNALS, **arguments})
    (folder / "bad.csv").write_text("1,2\n3\n")
    with pytest.raises(ValueError, match=r"bad.csv is not a .csv file"):
        ArrayProblem(A, "bad.csv")
