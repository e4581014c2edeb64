"""``solve`` under JAX's transformations, and what is compiled once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from unrollbit import ADMM, AMP, FISTA, ISTA, GradientDescent, Unrolled, solve
from unrollbit.algorithms import Algorithm
from unrollbit.algorithms.base import Maps, Scalars, State, settled
from unrollbit.formats import FullPrecision
from unrollbit.operators import Dense, LinearOperator, gaussian
from unrollbit.shrinkage import BernoulliGaussian, Firm, Grouped, Soft

ALGORITHMS: dict[str, Algorithm] = {
    "ista": ISTA(regularisation=0.1),
    "fista": FISTA(regularisation=0.1),
    "admm": ADMM(regularisation=0.1),
    "gradient descent": GradientDescent(),
    "adaptive": ISTA(adaptive=True, regularisation=0.02),
    "amp": AMP(onsager="none", momentum=False),
}
A = gaussian(8, 12, seed=3)
Y = np.random.RandomState(0).standard_normal((2, 8))
WEIGHTS = np.random.RandomState(1).standard_normal(12)


@pytest.mark.long
@pytest.mark.parametrize("tolerance", [0.0, 1e-4])
@pytest.mark.parametrize("name", ["fista", "admm", "amp"])
def test_jit_and_vmap_give_the_same(name: str, tolerance: float) -> None:
    y = jnp.asarray(Y, jnp.float32)
    expected = solve(ALGORITHMS[name], A, y, 60, tolerance)
    found = jax.jit(lambda y: solve(ALGORITHMS[name], A, y, 60, tolerance))(y)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-5, atol=1e-6)
    assert (int(found.iterations), bool(found.converged)) == (int(expected.iterations), bool(expected.converged))
    each = jax.vmap(lambda y: solve(ALGORITHMS[name], A, y, 60, tolerance))(y)
    for i, row in enumerate(y):  # a mapped signal stops by itself
        alone = solve(ALGORITHMS[name], A, row, 60, tolerance)
        np.testing.assert_allclose(each.x[i], alone.x, rtol=1e-5, atol=1e-6)
        assert int(each.iterations[i]) == int(alone.iterations)


@pytest.mark.long
@pytest.mark.parametrize(("iterations", "tolerance"), [(25, 0.0), (20_000, 1e-13)], ids=["unrolled", "implicit"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_gradients_against_finite_differences(name: str, iterations: int, tolerance: float) -> None:
    """Of the measurement and of lambda: through every iteration, and implicitly at the fixed point."""
    algorithm = ALGORITHMS[name]
    if name == "adaptive" and tolerance:
        pytest.skip("its threshold ends at 0, where every solution of A x = y stands still: none is isolated")

    def loss(algorithm: Algorithm, y: Array) -> Array:
        return jnp.sum(solve(algorithm, A, y, iterations, tolerance).x @ WEIGHTS)

    with jax.enable_x64(True):
        y, h = jnp.asarray(Y), 1e-6
        assert tolerance == 0 or bool(solve(algorithm, A, y, iterations, tolerance).converged)
        found = jax.grad(loss, argnums=1)(algorithm, y)
        direction = jnp.asarray(np.random.RandomState(2).standard_normal(y.shape))
        ahead, behind = (float(loss(algorithm, y + step * direction)) for step in (h, -h))
        assert float(jnp.vdot(found, direction)) == pytest.approx((ahead - behind) / (2 * h), rel=1e-5, abs=1e-7)
        if name in ("ista", "fista"):
            own = jax.grad(loss)(algorithm, y)
            lam = algorithm.regularisation  # pyright: ignore[reportAttributeAccessIssue]
            ahead, behind = (float(loss(replace(algorithm, regularisation=lam + step), y)) for step in (h, -h))  # pyright: ignore[reportCallIssue]
            slope = float(own.regularisation)  # pyright: ignore[reportAttributeAccessIssue]
            assert slope == pytest.approx((ahead - behind) / (2 * h), rel=1e-5)
            assert abs(slope) > 1e-3


def test_the_implicit_gradient_is_that_of_many_iterations() -> None:
    with jax.enable_x64(True):
        y = jnp.asarray(Y)
        gradients = [
            jax.grad(lambda y, t=t: jnp.sum(solve(ISTA(regularisation=0.1), A, y, 20_000, t).x @ WEIGHTS))(y)
            for t in (0.0, 1e-13)
        ]
        np.testing.assert_allclose(*gradients, rtol=1e-6, atol=1e-9)


def test_least_squares_has_the_pseudo_inverse_as_its_derivative() -> None:
    matrix = np.random.RandomState(0).standard_normal((6, 4))
    with jax.enable_x64(True):
        jacobian = jax.jacrev(lambda y: solve(GradientDescent(), Dense.of(matrix), y, 100_000, 1e-14).x)(jnp.ones(6))
        np.testing.assert_allclose(jacobian, np.linalg.pinv(matrix), atol=1e-9)


def test_iterates_are_differentiated_step_by_step() -> None:
    y = jnp.asarray(Y, jnp.float32)
    gradient = jax.grad(lambda y: jnp.sum(solve(ISTA(), A, y, 50, 1e-4, iterates=True).iterates[-1]))(y)
    assert bool(jnp.isfinite(gradient).all())
    assert float(jnp.abs(gradient).max()) > 0


def test_traced_physics_is_named() -> None:
    with pytest.raises(TypeError, match="solve: the physics is an argument of a transformed function"):
        jax.jit(lambda A, y: solve(ISTA(), A, y, 3).x)(A, jnp.ones(8))


traces: list[str] = []


@dataclass(frozen=True)
class CountedISTA(ISTA):
    """ISTA that notes when it is traced."""

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        traces.append("step")
        return super().step(state, y, A, maps, s)


def count(call: Callable[[], object]) -> int:
    traces.clear()
    call()
    return len(traces)


@pytest.mark.parametrize("tolerance", [0.0, 1e-3])
def test_solve_is_compiled_once_for_all_numbers(tolerance: float) -> None:
    y = jnp.asarray(Y, jnp.float32)
    physics = [Dense.of(np.random.RandomState(seed).standard_normal((8, 12)).astype(np.float32)) for seed in range(3)]
    assert count(lambda: solve(CountedISTA(), physics[0], y, 7, tolerance)) > 0
    assert count(lambda: solve(CountedISTA(regularisation=0.3), physics[0], y, 7, tolerance)) == 0
    assert count(lambda: solve(CountedISTA(), physics[1], 2 * y, 7, tolerance / 2)) == 0
    assert count(lambda: solve(CountedISTA(Firm()), physics[1], y, 7, tolerance)) > 0  # another step


def test_networks_are_compiled_once_for_all_numbers() -> None:
    run = jax.jit(lambda net, y: net(y))
    y = jnp.asarray(Y, jnp.float32)

    def network(seed: int, algorithm: Algorithm) -> Unrolled:
        matrix = np.random.RandomState(seed).standard_normal((8, 12)).astype(np.float32)
        return Unrolled(algorithm, Dense.of(matrix), 3, FullPrecision())

    assert count(lambda: run(network(0, CountedISTA()), y)) > 0
    assert count(lambda: run(network(1, CountedISTA(regularisation=0.7)), y)) == 0
    groups = (0,) * 6 + (1,) * 6
    for k, variances in enumerate(((1.0, 2.0), (3.0, 4.0))):  # priors of other signals
        prior = Grouped(
            BernoulliGaussian(learn_variance=True, sparsity=0.1 + 0.1 * k), groups, (("variance", variances),)
        )
        run(network(k, AMP(prior)), y)
    assert run._cache_size() == 2


@dataclass(frozen=True)
class Ridge(ISTA):
    """A user's algorithm whose step uses lambda: ``x <- (1 - step lambda) x + step W^T (y - A x)``."""

    def step(self, state: State, y: Array, A: LinearOperator, maps: Maps, s: Scalars) -> State:
        x = state["x"]
        return {"x": x + s["step"] * (maps["W"].T(y - A(x)) - self.regularisation * x)}


def test_a_step_may_use_every_number_of_its_algorithm() -> None:
    matrix = np.asarray(A.dense(), np.float64)
    for lam in (0.5, 2.0):
        algorithm = Ridge(regularisation=lam)
        expected = np.linalg.solve(matrix.T @ matrix + lam * np.eye(12), matrix.T @ Y[0])
        y = jnp.asarray(Y[0], jnp.float32)
        np.testing.assert_allclose(solve(algorithm, A, y, 2000).x, expected, atol=1e-5)
        net = Unrolled(algorithm, A, 300, FullPrecision(), distinct=1)
        np.testing.assert_allclose(net(y), solve(algorithm, A, y, 300).x, atol=1e-5)
        np.testing.assert_allclose(jax.jit(lambda net, y: net(y))(net, y), net(y), atol=1e-6)


def test_algorithms_are_values_and_pytrees() -> None:
    for algorithm in (AMP(), ADMM(rho=2.0), ISTA(Grouped(Soft(), (0, 1, 1), (("threshold", (0.1, 0.2)),)))):
        leaves, structure = jax.tree.flatten(algorithm)
        assert all(isinstance(leaf, float) for leaf in leaves)
        assert jax.tree.unflatten(structure, leaves) == algorithm
        assert hash(algorithm) == hash(jax.tree.unflatten(structure, leaves))
        assert Algorithm.from_spec(algorithm.to_spec()) == algorithm
    assert jax.tree.structure(ADMM(rho=2.0)) == jax.tree.structure(ADMM(rho=3.0, regularisation=0.2))
    assert jax.tree.structure(AMP(momentum=False)) != jax.tree.structure(AMP())


def test_signals_with_nan_never_settle() -> None:
    state, nan = {"x": jnp.zeros((2, 3))}, {"x": jnp.zeros((2, 3)).at[1, 0].set(jnp.nan)}
    assert settled(ISTA(), state, nan, 1.0).tolist() == [True, False]
