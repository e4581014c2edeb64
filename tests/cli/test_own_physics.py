"""Physics of one's own in a config: a file, a sparse matrix, code; and what the command line says of what it cannot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from unrollbit import load, pack
from unrollbit.cli import main
from unrollbit.cli.networks import problem_of
from unrollbit.operators import Dense, Sparse

MATRIX = np.random.RandomState(0).standard_normal((6, 8)).astype(np.float32)
CODE = """
import jax.numpy as jnp
from unrollbit import as_operator

def shifted():
    return as_operator(lambda x: jnp.roll(x, 1), shape=8)

def matrix_free():
    return as_operator(lambda x: jnp.roll(x, 1), shape=8, matrix=False)
"""
CONFIG = """
[problem]
kind = "ArrayProblem"
matrix = "{matrix}"
signals = "x.npy"

[network]
algorithm = {{kind = "ISTA"}}
depth = 1

[[stages]]
steps = 1
batch = 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.random.RandomState(1).standard_normal((20, 8)))
    np.save(tmp_path / "A.npy", MATRIX)
    np.save(tmp_path / "C.npy", MATRIX + 1j)
    scipy.sparse.save_npz(tmp_path / "A.npz", scipy.sparse.csr_array(MATRIX * (MATRIX > 0)))
    (tmp_path / f"{module_of(tmp_path)}.py").write_text(CODE)
    return tmp_path


def module_of(folder: Path) -> str:
    """Of a name of its own: one process imports a module once."""
    return f"own_physics_{folder.name}"


def train(folder: Path, matrix: str) -> int:
    matrix = matrix.replace("MODULE", module_of(folder))
    (folder / "own.toml").write_text(CONFIG.format(matrix=matrix))
    return main(["train", str(folder / "own.toml"), "--out", str(folder / "run"), "--quiet", "--overwrite"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ("A.npy", Dense.of(MATRIX)),
        ("A.npz", Sparse.of(MATRIX * (MATRIX > 0))),
        ("MODULE:shifted", Dense.of(np.roll(np.eye(8), 1, 0))),
    ],
)
def test_a_config_names_it_and_the_file_holds_it(folder: Path, matrix: str, expected) -> None:
    assert train(folder, matrix) == 0
    network = load(folder / "run")
    assert network.network.operator == expected
    spec = problem_of(network).to_spec()
    assert spec["kind"] == "ArrayProblem"
    assert main(["evaluate", str(folder / "run"), "--json", str(folder / "evaluated.json")]) == 0
    assert json.loads((folder / "evaluated.json").read_text())


@pytest.mark.long
def test_complex_matrices_are_taken(folder: Path) -> None:
    assert train(folder, "C.npy") == 0
    y = np.ones(6, np.complex64)
    assert load(folder / "run")(y).shape == (8,)


def test_what_no_file_can_hold_is_told_before_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(folder, "MODULE:matrix_free") != 0
    message = capsys.readouterr().err.strip()
    assert "physics: Function(<lambda>, (8,) -> (8,)): no file can hold an operator that is code" in message
    assert "\n" not in message
    assert not (folder / "run").exists()


@pytest.mark.long
def test_code_that_a_file_names_is_never_run(folder: Path) -> None:
    assert train(folder, "A.npy") == 0
    network = load(folder / "run")
    network.run.problem["matrix"] = f"{module_of(folder)}:shifted"  # pyright: ignore[reportOptionalSubscript]
    forged = load(network.save(folder / "forged.safetensors"))
    with pytest.raises(ValueError, match="code that a file names is never run"):
        problem_of(forged)
    assert pack(forged.trainable())(np.ones(6, np.float32)).shape == (8,)
