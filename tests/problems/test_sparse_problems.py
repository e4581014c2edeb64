from functools import partial

import jax
import numpy as np
import pytest

from unrollbit.operators import LinearOperator
from unrollbit.problems import BlockSparseRecovery, SparseRecovery
from unrollbit.problems.sparse import bernoulli_gaussian
from unrollbit.structures import Blocks

MATRICES = ["gaussian", "rademacher", "hadamard"]


def test_bernoulli_gaussian_statistics():
    x = np.asarray(bernoulli_gaussian(jax.random.key(0), (400, 500), 0.1))
    nonzero = x[x != 0]
    assert nonzero.size / x.size == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / x.size))
    assert nonzero.mean() == pytest.approx(0, abs=4 / np.sqrt(nonzero.size))
    assert nonzero.var() == pytest.approx(1, abs=4 * np.sqrt(2 / nonzero.size))
    assert (nonzero**4).mean() == pytest.approx(3, abs=4 * np.sqrt(96 / nonzero.size))
    per_column = (x != 0).mean(0)
    assert per_column.std() == pytest.approx(np.sqrt(0.09 / 400), rel=0.15)  # independent entries


@pytest.mark.long
@pytest.mark.parametrize("make", [SparseRecovery, partial(BlockSparseRecovery, 4)])
@pytest.mark.parametrize("sparsity", [0.1, 1.0])
def test_the_energy_of_the_signals(make, sparsity):
    problem = make(8, 16, sparsity=sparsity, snr_db=10.0)
    n = problem.operator.shape[1]
    assert problem.energy == pytest.approx(n * sparsity)
    x, _ = problem.split("test").sample(jax.random.key(1), 4000)
    energy = np.asarray(x**2).sum(1)  # of variance n (3 sparsity - sparsity^2)
    assert energy.mean() == pytest.approx(problem.energy, abs=4 * np.sqrt(3 * n * sparsity / 4000))


@pytest.mark.parametrize("matrix", [*MATRICES, "ill-conditioned"])
def test_sparse_physics_has_unit_columns(matrix):
    problem = SparseRecovery(16, 32, matrix=matrix)
    np.testing.assert_allclose(np.linalg.norm(problem.operator.dense(), axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("matrix", MATRICES)
def test_block_physics(matrix):
    operator = BlockSparseRecovery(4, 8, 16, matrix=matrix).operator
    assert operator.mask() == Blocks(4, 8, 16)
    assert operator.physics_bits() == 0
    core = np.asarray(operator.blocks)
    assert core.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(core, axis=1), 1, rtol=1e-5)
    assert len({block.tobytes() for block in core}) == 4
    dense = np.asarray(operator.dense())
    assert np.count_nonzero(dense) == 4 * 8 * 16
    if matrix != "gaussian":
        np.testing.assert_allclose(np.abs(core), 8**-0.5, rtol=1e-6)
    rebuilt = LinearOperator.from_spec(operator.to_spec())
    np.testing.assert_array_equal(rebuilt.blocks, core)


def test_block_hadamard_rows_are_orthogonal():
    core = np.asarray(BlockSparseRecovery(3, 8, 16, matrix="hadamard").operator.blocks)
    np.testing.assert_allclose(core @ core.swapaxes(1, 2), np.tile(2 * np.eye(8), (3, 1, 1)), atol=1e-6)


def test_blocks_do_not_see_each_other():
    operator = BlockSparseRecovery(4, 8, 16).operator
    x = np.zeros(64, np.float32)
    x[16:32] = 1
    assert np.flatnonzero(operator(x)).tolist() == list(range(8, 16))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": 0}, "blocks: expected a positive integer, got 0"),
        ({"m": 2.5}, "m: expected a positive integer, got 2.5"),
        ({"n": True}, "n: expected a positive integer, got True"),
        ({"n": 48, "matrix": "hadamard"}, "power of two, got 48"),
        ({"m": 128, "matrix": "hadamard"}, "m: expected at most n = 64"),
    ],
)
def test_wrong_sizes_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        BlockSparseRecovery(**arguments)
