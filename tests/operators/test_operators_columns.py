"""Column norms without matrices, and what is computed once per physics."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ADMM, AMP, ISTA, Unrolled, load, pack
from unrollbit.algorithms.analytic import coherence_matrix
from unrollbit.operators import Banded, Composition, Convolution, Dense, LinearOperator, SubsampledDCT, Sum, gaussian
from unrollbit.operators.norms import column_norms
from unrollbit.packed import runtime


def test_column_norms_are_those_of_the_matrix(operator):
    wanted = np.linalg.norm(np.asarray(operator.dense(), np.float64), axis=0)
    size = max(wanted.max(), np.finfo(np.float32).tiny)
    np.testing.assert_allclose(operator.column_norms() / size, wanted / size, atol=1e-5)
    np.testing.assert_allclose(operator.column_rms() / size, np.sqrt(np.mean(wanted**2)) / size, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(column_norms(operator) / size, wanted / size, atol=1e-5)


@pytest.mark.long
@pytest.mark.grid(20)
def test_column_norms_trace(operator):
    found = jax.jit(lambda A: A.column_norms())(operator)
    np.testing.assert_allclose(found, operator.column_norms(), rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.grid(30)
def test_column_products_with_a_core(operator):
    structure = operator.mask()
    reference = operator.core(structure)
    wanted = np.sum(np.asarray(operator.dense(), np.float64) ** 2, axis=0)
    np.testing.assert_allclose(operator.column_products(reference), wanted, rtol=1e-4, atol=1e-5)


def temporary(A: LinearOperator) -> int:
    """Bytes of temporary memory of two iterations of AMP."""
    algorithm, y = AMP(), jnp.ones(A.shape[0])
    scalars = {name: jnp.asarray(spec.initial_values(2)) for name, spec in algorithm.scalars(A).items()}

    @jax.jit
    def run(A: LinearOperator, constants: dict[str, jax.Array], y: jax.Array) -> jax.Array:
        state = algorithm.init(y, A, {})
        for k in range(2):
            own = {name: values[k] for name, values in scalars.items()} | constants
            state = algorithm.step(state, y, A, {"W": A.T}, own)
        return state["x"]

    compiled = run.lower(A, algorithm.constants(A), y).compile()
    return compiled.memory_analysis().temp_size_in_bytes


BLUR = np.outer([1.0, 2.0, 1.0], [1.0, 2.0, 1.0]) / 16


@pytest.mark.long
@pytest.mark.parametrize(
    "make",
    [
        lambda A, side: 0.5 * A,
        lambda A, side: A + A,
        lambda A, side: Convolution(BLUR, (side, side), "zero"),
        lambda A, side: Banded.of([0.25, 0.5, 0.25], (side**2, side**2), lower=-1),
        lambda A, side: Composition(A, SubsampledDCT.full((side, side)).T),
    ],
    ids=["scaled", "sum", "zero boundary", "banded", "composition"],
)
def test_amp_needs_no_matrix(make):
    side = 48
    A = Convolution(BLUR, (side, side))
    matrix = 4 * side**4
    assert temporary(make(A, side)) < temporary(A) + 64 * 4 * side**2 < matrix / 10


def test_what_physics_determines_is_computed_once(tmp_path, monkeypatch):
    calls = {"pinv": 0, "solve": 0}

    def counted(name):
        function = getattr(np.linalg, name)

        def call(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        return call

    for name in calls:
        monkeypatch.setattr(np.linalg, name, counted(name))
    for algorithm, A in ((ISTA(parametrisation="step"), gaussian(7, 15, 71)), (ADMM(), gaussian(7, 15, 72))):
        load(pack(Unrolled(algorithm, A, 3)).save(tmp_path / "net.safetensors"))
    assert calls == {"pinv": 1, "solve": 1}


def test_derived_values_belong_to_the_content():
    made = []

    def make() -> float:
        made.append(1)
        return 1.0

    A = Dense(np.arange(6.0).reshape(2, 3))
    again = Dense(np.arange(6.0).reshape(2, 3))
    for operator in (A, A, again, jax.tree.map(jnp.copy, A)):
        assert operator.derived("a test's", make) == 1.0
    assert len(made) == 1
    assert (2.0 * A).derived("a test's", make) == 1.0
    assert A.derived(("a test's", 0.5), make) == 1.0
    assert len(made) == 3
    assert "_derived" not in A.__getstate__()


def test_unknowns_that_are_not_measured_have_no_column(tmp_path):
    C = np.random.RandomState(0).standard_normal((6, 9))
    C[:, 4] = 0.0
    A = Dense(C)
    W, matrix = coherence_matrix(A).dense(), np.asarray(A.dense())
    assert bool(jnp.isfinite(W).all())
    np.testing.assert_array_equal(W[:, 4], 0.0)
    np.testing.assert_allclose(np.sum(np.asarray(W) * matrix, 0), np.arange(9) != 4, atol=1e-5)
    net, y = Unrolled(ISTA(parametrisation="step"), A, 2), np.ones(6, np.float32)
    path = pack(net).save(tmp_path / "net.safetensors")
    assert bool(jnp.isfinite(net(y)).all())
    np.testing.assert_allclose(runtime.load(path)(y), net(y), rtol=1e-4, atol=1e-5)


def test_sums_of_structures_share_nothing_by_mistake():
    A, B = gaussian(4, 8), gaussian(4, 8, seed=1)
    assert Sum(A, B).norm() != Sum(A, A).norm()
