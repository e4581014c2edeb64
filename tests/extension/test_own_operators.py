"""Operators of a user's own, with and without a structure of their own: one short file each."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

from unrollbit import AMP, ISTA, Unrolled, load, pack
from unrollbit.extensions import import_extension
from unrollbit.operators import LinearOperator
from unrollbit.structures import Structure

OWN = {
    "trend": ("trend.py", lambda module: module.Trend(12)),
    "arrow": ("arrow.py", lambda module: module.Leak(np.linspace(1.0, -1.0, 12, dtype=np.float32))),
}
LINES = {"trend": 13, "arrow": 34}


@pytest.mark.parametrize("name", OWN)
def test_an_operator_takes_a_few_lines(name: str, own: Path) -> None:
    lines = (own / OWN[name][0]).read_text().splitlines()
    code = [line for line in lines if line.strip() and not line.strip().startswith(('"""', "import", "from"))]
    assert len(code) <= LINES[name]


@pytest.mark.parametrize("name", OWN)
def test_it_keeps_the_contract(name: str, own: Path) -> None:
    file, make = OWN[name]
    A = make(import_extension(str(own / file)))
    matrix = np.asarray(A.dense(), np.float64)
    np.testing.assert_allclose(A.T.dense(), matrix.T, rtol=1e-6)
    assert float(A.norm()) == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-6)
    np.testing.assert_allclose(A.column_norms(), np.linalg.norm(matrix, axis=0), rtol=1e-5)
    assert not np.any(matrix[~np.asarray(A.mask().dense_mask())])
    assert A == LinearOperator.from_spec(A.to_spec()) == jax.tree.map(lambda leaf: leaf, A)
    assert A.mask() == Structure.from_spec(A.mask().to_spec())


@pytest.mark.parametrize(("name", "algorithm"), [("trend", ISTA()), ("arrow", AMP())], ids=list(OWN))
def test_networks_of_it_pack_save_and_load(name: str, algorithm, own: Path, tmp_path: Path) -> None:
    file, make = OWN[name]
    A = make(import_extension(str(own / file)))
    net = Unrolled(algorithm, A, 3)
    path = pack(net).save(tmp_path / "net.safetensors")
    y = np.random.RandomState(0).standard_normal((2, 12)).astype(np.float32)
    np.testing.assert_allclose(load(path)(y), net(y), rtol=1e-5, atol=1e-5)
