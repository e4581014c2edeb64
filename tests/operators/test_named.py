"""Physics by the name of a file or of code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from unrollbit.operators import Dense, Sparse, named_physics

MATRIX = np.random.RandomState(0).standard_normal((3, 5)).astype(np.float32)
CODE = """
import jax.numpy as jnp
import numpy as np
from unrollbit import as_operator

matrix = np.eye(4)
number = 3

def shifted():
    return as_operator(lambda x: jnp.roll(x, 1), shape=6)

def with_arguments(x):
    return x
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "real.npy", MATRIX)
    np.save(tmp_path / "complex.npy", MATRIX + 1j)
    np.savez(tmp_path / "archive.npz", A=MATRIX)
    scipy.sparse.save_npz(tmp_path / "sparse.npz", scipy.sparse.csr_array(MATRIX * (MATRIX > 0)))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "own_physics_by_name.py").write_text(CODE)
    return tmp_path


def test_files_and_code(folder: Path) -> None:
    assert named_physics("real.npy", folder) == Dense.of(MATRIX)
    assert named_physics(folder / "real.npy") == Dense.of(MATRIX)
    assert named_physics("complex.npy", folder).complex_physics
    assert named_physics("sparse.npz", folder) == Sparse.of(MATRIX * (MATRIX > 0))
    assert named_physics("own_physics_by_name:matrix", folder) == Dense.of(np.eye(4))
    assert named_physics("own_physics_by_name.py:shifted", folder) == Dense.of(np.roll(np.eye(6), 1, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.npy", "matrix: no such file: .*missing.npy"),
        ("archive.npz", "matrix: .* is no sparse matrix of scipy.sparse.save_npz"),
        ("pickled.npy", "matrix: .* is not a .npy file of plain numbers"),
        ("nowhere_to_be_found:A", "matrix: import nowhere_to_be_found: ModuleNotFoundError"),
        ("own_physics_by_name:other", "has no 'other'; it has .*matrix, np, number"),
        (
            "own_physics_by_name:with_arguments",
            "is a function with arguments; expected an operator, or a",
        ),
    ],
)
def test_wrong_names_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_physics(text, folder, "matrix")


def test_what_code_holds_must_be_physics(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"physics: expected a LinearOperator, .* got 3"):
        named_physics("own_physics_by_name:number", folder)
