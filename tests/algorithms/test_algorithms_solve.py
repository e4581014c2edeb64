"""`solve`: shapes, stopping, batches, every kind of physics, precision, and its errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, Algorithm, GradientDescent, solve
from unrollbit.baselines import Classic, tune
from unrollbit.metrics import nmse_db
from unrollbit.operators import (
    BlockDiagonal,
    Composition,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Rademacher,
    SubsampledDCT,
    gaussian,
    gaussian_blocks,
)
from unrollbit.shrinkage import BernoulliGaussian, Soft, SupportSelection

ALGORITHMS: dict[str, Algorithm] = {
    "ista": ISTA(regularisation=0.05),
    "ista classic": ISTA(regularisation=0.05, parametrisation="classic"),
    "ista step": ISTA(regularisation=0.05, parametrisation="step"),
    "fista": FISTA(regularisation=0.05),
    "gradient descent": GradientDescent(),
    "admm": ADMM(regularisation=0.05),
    "amp": AMP(),
    "amp computed": AMP(shrinkage=Soft(), onsager="computed"),
    "amp plain": AMP(onsager="none", momentum=False),
}
PHYSICS = {
    "dense": lambda: gaussian(8, 16, seed=1),
    "blocks": lambda: gaussian_blocks(2, 4, 8, seed=1),
    "hadamard": lambda: Hadamard(8, 16, seed=1),
    "rademacher": lambda: Rademacher(8, 16, seed=1),
    "dct": lambda: SubsampledDCT.random(16, 8, seed=1),
    "convolution": lambda: Convolution.of(np.array([0.2, 1.0, 0.3], np.float32), 16),
    "composed": lambda: Composition.of(Rademacher(8, 16, seed=1), SubsampledDCT.random(16, 16, seed=1).T),
}


def measurements(A: LinearOperator, *batch: int, seed: int = 0) -> jax.Array:
    random = np.random.RandomState(seed)
    x = random.standard_normal((*batch, A.shape[1])) * (random.uniform(size=(*batch, A.shape[1])) < 0.2)
    return A(jnp.asarray(x, jnp.float32))


def relative(a, b) -> float:
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_iterates_objective_and_shapes(algorithm: str) -> None:
    A = gaussian(8, 16)
    y = measurements(A, 3, 2)
    plain = solve(ALGORITHMS[algorithm], A, y, 5)
    full = solve(ALGORITHMS[algorithm], A, y, 5, iterates=True)
    assert plain.x.shape == (3, 2, 16)
    assert (plain.iterations, plain.converged, plain.iterates, plain.objective) == (5, False, None, None)
    assert full.iterates.shape == (5, 3, 2, 16)
    np.testing.assert_array_equal(full.iterates[-1], full.x)
    np.testing.assert_allclose(full.x, plain.x, rtol=1e-5, atol=1e-6)
    if isinstance(ALGORITHMS[algorithm], AMP):
        assert full.objective is None
    else:
        assert full.objective.shape == (5, 3, 2)
        assert jnp.isfinite(full.objective).all()
    assert not np.allclose(full.iterates[0], full.iterates[-1])


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_leading_axes_are_independent_signals(algorithm: str) -> None:
    A = gaussian(8, 16)
    y = measurements(A, 2, 3)
    together = solve(ALGORITHMS[algorithm], A, y, 6).x
    for i, j in ((0, 0), (1, 2)):
        alone = solve(ALGORITHMS[algorithm], A, y[i, j], 6).x
        assert alone.shape == (16,)
        np.testing.assert_allclose(together[i, j], alone, rtol=1e-4, atol=1e-6)


@pytest.mark.long
@pytest.mark.grid(5)
@pytest.mark.parametrize(
    ("algorithm", "physics"),
    [
        *(("fista", physics) for physics in PHYSICS if physics != "dense"),
        *(("admm", physics) for physics in ("blocks", "dct", "convolution")),
        *(("ista step", physics) for physics in ("blocks", "composed")),
        ("amp computed", "hadamard"),
        ("amp computed", "composed"),
    ],
)
def test_matrix_free_physics_equals_its_matrix(algorithm: str, physics: str) -> None:
    A = PHYSICS[physics]()
    dense = Dense.of(np.asarray(A.dense(), np.float32))
    y = measurements(A, 3)
    own = solve(ALGORITHMS[algorithm], A, y, 8, iterates=True).iterates
    expected = solve(ALGORITHMS[algorithm], dense, y, 8, iterates=True).iterates
    assert relative(own, expected) < 1e-4


@pytest.mark.parametrize("algorithm", [AMP(), AMP(shrinkage=Soft())], ids=["bernoulli-gaussian", "soft"])
def test_amp_treats_blocks_as_problems_of_their_own(algorithm: AMP) -> None:
    A = gaussian_blocks(3, 4, 8, seed=2)
    y = measurements(A, 2) * jnp.repeat(jnp.asarray([1.0, 10.0, 0.1]), 4)
    together = solve(algorithm, A, y, 6).x.reshape(2, 3, 8)
    for b in range(3):
        alone = solve(algorithm, Dense(A.blocks[b]), y.reshape(2, 3, 4)[:, b], 6).x
        assert relative(together[:, b], alone) < 1e-4


@pytest.mark.parametrize("iterates", [False, True])
def test_tolerance_stops_at_the_first_small_change_of_all_signals(iterates: bool) -> None:
    A = gaussian(20, 10)
    y = measurements(A, 2) + 0.1
    trail = np.asarray(solve(GradientDescent(), A, y, 200, iterates=True).iterates)
    before = np.concatenate([np.zeros_like(trail[:1]), trail[:-1]])
    small = np.linalg.norm(trail - before, axis=-1) <= 1e-2 * np.linalg.norm(trail, axis=-1)
    first = 1 + int(np.argmax(small.all(-1)))
    assert 1 < first < 200
    assert small[: first - 1].any(), "no signal converges before the other: the test shows nothing"
    solution = solve(GradientDescent(), A, y, 200, tolerance=1e-2, iterates=iterates)
    assert solution.converged
    assert solution.iterations == first
    np.testing.assert_allclose(solution.x, trail[first - 1], rtol=1e-5, atol=1e-6)
    if iterates:
        assert solution.iterates.shape == (200, 2, 10)
        np.testing.assert_array_equal(solution.iterates[first:], np.broadcast_to(solution.x, (200 - first, 2, 10)))


def test_tolerance_that_is_not_reached_and_zero_measurements() -> None:
    A = gaussian(20, 10)
    y = measurements(A, 2) + 0.1
    solution = solve(GradientDescent(), A, y, 3, tolerance=1e-6)
    assert (solution.iterations, solution.converged) == (3, False)
    zero = solve(FISTA(), A, jnp.zeros((2, 20)), 50, tolerance=1e-3)
    assert (zero.iterations, zero.converged) == (1, True)
    np.testing.assert_array_equal(zero.x, 0.0)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_zero_measurements_give_the_zero_signal(algorithm: str) -> None:
    A = gaussian(8, 16)
    np.testing.assert_array_equal(solve(ALGORITHMS[algorithm], A, jnp.zeros((2, 8)), 5).x, 0.0)


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_float32_stays_float32_under_x64(algorithm: str) -> None:
    y = np.asarray(measurements(PHYSICS["rademacher"](), 2))
    expected = np.asarray(solve(ALGORITHMS[algorithm], PHYSICS["rademacher"](), jnp.asarray(y), 4).x)
    with jax.enable_x64(True):
        A = PHYSICS["rademacher"]()  # unpacks into the default dtype of the context
        x = np.asarray(solve(ALGORITHMS[algorithm], A, jnp.asarray(y, jnp.float32), 4).x)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, expected, rtol=1e-4, atol=1e-5)


def test_measurements_in_float64_are_solved_in_float64() -> None:
    """The dtype of the measurement decides, not that of the physics."""
    A = np.random.RandomState(0).standard_normal((6, 4))
    expected = np.linalg.lstsq(A, np.ones(6), rcond=None)[0]
    with jax.enable_x64(True):
        for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-5)):
            x = np.asarray(solve(GradientDescent(), Dense.of(A), np.ones(6, dtype), 5000).x)
            assert x.dtype == dtype
            np.testing.assert_allclose(x, expected, atol=tolerance)


def test_step_is_smaller_where_the_norm_is_an_estimate() -> None:
    A = Convolution.of(np.array([1.0, 0.4]), 5000, "zero")  # too large for an exact norm
    assert not A.norm().exact
    step = ISTA().scalars(A)["step"].initial
    assert step == pytest.approx(0.98 / float(A.norm()) ** 2)
    assert step < 1 / 1.4**2 * 1.01
    exact = gaussian(8, 16)
    assert ISTA().scalars(exact)["step"].initial == pytest.approx(1 / float(exact.norm()) ** 2)


def test_a_problem_is_as_good_as_its_operator() -> None:
    class Holder:
        operator = gaussian(8, 16)

    y = measurements(Holder.operator, 2)
    np.testing.assert_array_equal(solve(ISTA(), Holder(), y, 3).x, solve(ISTA(), Holder.operator, y, 3).x)


def test_solutions_do_not_recompile_for_equal_algorithms() -> None:
    from unrollbit.algorithms.solve import _run

    A = gaussian(7, 15)
    y = measurements(A, 2)
    solve(FISTA(regularisation=0.123), A, y, 4)
    count = _run._cache_size()
    solve(FISTA(regularisation=0.123), A, y + 1, 4)
    assert _run._cache_size() == count


def test_bad_calls_are_refused() -> None:
    A, y = gaussian(8, 16), jnp.ones((2, 8))
    with pytest.raises(TypeError, match=r"problem: expected a LinearOperator, a problem that .* got 3"):
        solve(ISTA(), 3, y)
    with pytest.raises(ValueError, match=r"m = 8 entries, got shape \(2, 9\)"):
        solve(ISTA(), A, jnp.ones((2, 9)))
    with pytest.raises(ValueError, match=r"m = 8 entries, got shape \(\)"):
        solve(ISTA(), A, jnp.asarray(1.0))
    with pytest.raises(TypeError, match="complex64"):
        solve(ISTA(), A, jnp.ones((2, 8), jnp.complex64))
    with pytest.raises(ValueError, match="iterations: expected a positive integer, got 0"):
        solve(ISTA(), A, y, 0)
    for tolerance in (-1e-3, float("nan")):
        with pytest.raises(ValueError, match="tolerance: expected a relative change >= 0"):
            solve(ISTA(), A, y, 3, tolerance=tolerance)


def test_objective_is_none_for_shrinkages_that_minimise_nothing() -> None:
    A = gaussian(8, 16)
    for shrinkage in (SupportSelection(), BernoulliGaussian()):
        assert solve(ISTA(shrinkage=shrinkage), A, jnp.ones(8), 2, iterates=True).objective is None


def test_block_structure_reaches_the_maps() -> None:
    A = BlockDiagonal.of(np.random.RandomState(0).standard_normal((2, 3, 5)))
    for algorithm in ALGORITHMS.values():
        for name, linear_map in algorithm.maps(A).items():
            dense = np.asarray(linear_map.initial.dense())
            mask = np.asarray(linear_map.structure.dense_mask())
            assert dense.shape == linear_map.shape == linear_map.structure.shape, name
            assert (np.abs(dense[~mask]) < 1e-6).all()
            assert not mask.all()


def test_the_best_penalty_of_admm_is_that_of_the_lowest_error() -> None:
    A = gaussian(12, 24, seed=1)
    random = np.random.RandomState(0)
    x = jnp.asarray(random.standard_normal((16, 24)) * (random.uniform(size=(16, 24)) < 0.1), jnp.float32)
    y = A(x)
    best = tune(Classic(ADMM(), 6), A, x, y, count=3)
    assert best.nmse_db == min(trial.nmse_db for trial in best.trials)
    errors = {(t.parameters["rho"], t.parameters["regularisation"]): t.nmse_db for t in best.trials}
    found = best.baseline.algorithm
    assert isinstance(found, ADMM)
    assert len({rho for rho, _ in errors}) >= 3
    assert errors[found.rho, found.regularisation] == best.nmse_db
    assert float(nmse_db(solve(found, A, y, 6).x, x)) == pytest.approx(best.nmse_db)
    with pytest.raises(ValueError, match="count: expected an integer >= 2"):
        tune(Classic(ADMM(), 6), A, x, y, count=1)
