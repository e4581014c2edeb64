import json

import jax
import numpy as np
import pytest

from unrollbit.operators import BlockDiagonal, Hadamard, LinearOperator
from unrollbit.problems import ArrayProblem, Problem
from unrollbit.problems.base import SUBSETS

RNG = np.random.RandomState(1)
A, X = RNG.randn(4, 6), RNG.randn(20, 6)
Y = X @ A.T + 0.1


@pytest.fixture
def folder(tmp_path):
    for name, array in (("A", A), ("x", X), ("y", Y)):
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def rows_of(problem):
    return {subset: np.asarray(problem.split(subset).all()[0]) for subset in SUBSETS}


def test_every_row_falls_into_one_subset():
    rows = rows_of(ArrayProblem(A, X))
    assert {subset: len(part) for subset, part in rows.items()} == {"train": 16, "validation": 2, "test": 2}
    stacked = np.concatenate(list(rows.values()))
    assert {row.tobytes() for row in stacked} == {row.tobytes() for row in X.astype(np.float32)}


def test_seed_and_fractions_decide_the_split():
    first, again = rows_of(ArrayProblem(A, X)), rows_of(ArrayProblem(A, X))
    other = rows_of(ArrayProblem(A, X, seed=1))
    np.testing.assert_array_equal(first["train"], again["train"])
    assert not np.array_equal(first["train"], other["train"])
    half = rows_of(ArrayProblem(A, X, fractions=(0.5, 0.25, 0.25)))
    assert [len(part) for part in half.values()] == [10, 5, 5]
    assert [len(part) for part in rows_of(ArrayProblem(A, X[:3])).values()] == [1, 1, 1]


def test_given_measurements_stay_with_their_signals():
    problem = Problem.from_arrays(A, X, Y)
    for subset in SUBSETS:
        for x, y in (problem.split(subset).all(), problem.split(subset).sample(jax.random.key(0), 30)):
            np.testing.assert_allclose(y, np.asarray(x) @ A.T + 0.1, atol=1e-5)


def test_from_arrays_takes_operators_and_options():
    problem = Problem.from_arrays(Hadamard(4, 8), RNG.randn(10, 8), snr_db=30, seed=3, fractions=(0.6, 0.2, 0.2))
    assert isinstance(problem, ArrayProblem)
    assert isinstance(problem.operator, Hadamard)
    assert problem.snr_db == 30
    assert len(problem.all()[0]) == 6


def test_integers_and_booleans_are_numbers():
    problem = ArrayProblem(np.eye(6, dtype=int), X > 0)
    assert problem.all()[0].dtype == np.float32


@pytest.mark.parametrize("measurements", [None, "y.npy"])
def test_files_round_trip(folder, measurements):
    problem = ArrayProblem("A.npy", "x.npy", measurements, folder=folder, fractions=[0.5, 0.25, 0.25])
    spec = json.loads(json.dumps(problem.to_spec()))
    assert spec["matrix"] == "A.npy"
    rebuilt = Problem.from_spec(spec)
    assert rebuilt.to_spec() == spec
    for a, b in zip(problem.split("test").all(), rebuilt.split("test").all(), strict=True):
        np.testing.assert_array_equal(a, b)
    given = ArrayProblem(A, X, None if measurements is None else Y, fractions=(0.5, 0.25, 0.25))
    np.testing.assert_array_equal(problem.all()[1], given.all()[1])


def test_paths_are_relative_to_the_working_directory_without_a_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    problem = ArrayProblem("A.npy", folder / "x.npy")
    assert "folder" not in problem.to_spec()
    assert Problem.from_spec(problem.to_spec()).operator.shape == (4, 6)


def test_arrays_in_memory_store_no_data_but_their_operator_can_be_rebuilt(folder):
    problem = ArrayProblem(str(folder / "A.npy"), X, snr_db=20)
    spec = json.loads(json.dumps(problem.to_spec()))
    assert spec == {"kind": "ArrayProblem", "inline": True, "snr_db": 20.0, "seed": 0, "fractions": [0.8, 0.1, 0.1]}
    with pytest.raises(ValueError, match=r"given in memory .* pass the files: matrix = 'A.npy', signals = 'x.npy'"):
        Problem.from_spec(spec)
    rebuilt = LinearOperator.from_spec(problem.operator.to_spec())
    np.testing.assert_array_equal(rebuilt.dense(), problem.operator.dense())
    blocks = Problem.from_arrays(BlockDiagonal.of(RNG.randn(2, 2, 3)), X)
    assert LinearOperator.from_spec(blocks.operator.to_spec()).mask() == blocks.operator.mask()


WITH_NAN = np.where(np.arange(120).reshape(20, 6) == 7, np.nan, X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, X), "matrix: missing"),
        ((A, None), "signals: missing"),
        ((A[0], X), r"matrix: expected a matrix \(m, n\), got an array of shape \(6,\)"),
        ((A, X[0]), r"signals: expected a non-empty 2-D array, one signal a row, got shape \(6,\)"),
        ((A, X[:0]), r"signals: expected a non-empty 2-D array, one signal a row, got shape \(0, 6\)"),
        ((A, X.T), r"signals: expected rows of 6 entries, .* got shape \(6, 20\); transpose it"),
        ((A, X[:, :5]), r"signals: expected rows of 6 entries, .* got shape \(20, 5\)"),
        ((A, X, Y[:, :3]), r"measurements: expected rows of 4 entries, .* got shape \(20, 3\)"),
        ((A, X, Y[:19]), r"measurements: expected shape \(N, m\) = \(20, 4\), .* got 19 rows"),
        ((A, WITH_NAN), "signals: contains NaN or infinite"),
        ((np.full_like(A, np.inf), X), "matrix: contains entries that are NaN, infinite"),
        ((A, X, np.full_like(Y, 1e300)), "measurements: contains .* too large for float32"),
        ((A, X + 1j), "signals: expected real numbers, got complex128"),
        ((A, X.astype(str)), "signals: expected numbers, got dtype <U"),
        ((A, X.astype(object)), "signals: expected numbers, got dtype object"),
        ((A, [[1.0, 2.0], [3.0]]), "signals: expected an array with rows of equal length"),
        ((A, X[:2]), "signals: rows: 2 are too few to split"),
        ((A, X, Y, 20.0), "snr_db: given measurements have their noise already"),
        ((A, X, None, float("inf")), "snr_db: expected a finite number"),
        ((A, X, None, None, -1), "seed: expected an integer"),
        ((A, X, None, None, 0, (0.5, 0.5)), "fractions: expected three positive shares"),
        ((A, X, None, None, 0, (0.8, 0.2, 0.0)), "fractions: expected three positive shares"),
        ((A, X, None, None, 0, (0.8, 0.2, 0.2)), "fractions: expected three positive shares"),
        ((A, X, None, None, 0, 0.8), "fractions: expected three positive shares"),
    ],
)
def test_wrong_arrays_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ArrayProblem(*arguments)


def test_wrong_files_are_named(folder):
    np.savez(folder / "archive.npz", x=X)
    (folder / "archive.npz").rename(folder / "archive.npy")
    np.save(folder / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (folder / "text.npy").write_text("1 2 3")
    (folder / "nothing.npy").write_bytes(b"")
    whole = (folder / "x.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[:-8])
    (folder / "huge.npy").write_bytes(whole.replace(b"(20, 6), }" + b" " * 12, b"(2000000000000, 6), } "))
    np.save(folder / "empty.npy", X[:0])
    for name, message in (
        ("missing.npy", "no such file: .*missing.npy"),
        (".", "no such file"),
        ("archive.npy", "archive of several arrays"),
        ("pickled.npy", "not a .npy file of plain numbers"),
        ("text.npy", "not a .npy file of plain numbers"),
        ("nothing.npy", "not a .npy file of plain numbers"),
        ("cut.npy", "not a .npy file of plain numbers"),
        ("huge.npy", "not a .npy file of plain numbers"),
        ("empty.npy", "signals: (expected a non-empty|.*not a .npy file)"),
    ):
        with pytest.raises(ValueError, match=f"signals: .*{message}" if "signals" not in message else message):
            ArrayProblem("A.npy", name, folder=folder)
