"""Physics by the name that the user's own code has for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrollbit.operators import Dense, named_physics

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
    (tmp_path / "own_physics_by_name.py").write_text(CODE)
    return tmp_path


def test_objects_and_functions_of_own_code(folder: Path) -> None:
    assert named_physics("own_physics_by_name:matrix", folder) == Dense.of(np.eye(4))
    assert named_physics("own_physics_by_name:shifted", folder) == Dense.of(np.roll(np.eye(6), 1, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere_to_be_found:A", "matrix: import nowhere_to_be_found: ModuleNotFoundError"),
        ("own_physics_by_name:other", "is not there; the module has .*matrix, number, shifted"),
        ("own_physics_by_name:with_arguments", "is a function with arguments; expected an operator, or a"),
        ("matrix.npy", "matrix: expected module:name, such as 'optics:blur', got 'matrix.npy'"),
    ],
)
def test_wrong_names_are_named(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        named_physics(text, folder, "matrix")


def test_what_code_holds_must_be_physics(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"physics: expected a LinearOperator, .* got 3"):
        named_physics("own_physics_by_name:number", folder)
