"""Reference solutions: the Lasso against scikit-learn and its optimality conditions, ADMM at rest against its step."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso as SklearnLasso

from unrollbit.theory.convergence import admm_fixed_point, solve_lasso
from unrollbit.theory.numerics import soft


def _draw(m, n, seed):
    random = np.random.RandomState(seed)
    A = random.randn(m, n) / np.sqrt(m)
    return A, A @ (random.randn(n) * (random.rand(n) < 0.3)) + 0.05 * random.randn(m)


@pytest.mark.parametrize(("m", "n"), [(12, 30), (30, 12), (40, 40), (1, 5), (5, 1)])
@pytest.mark.parametrize("share", [0.9, 0.3, 0.03])
def test_the_lasso_is_that_of_scikit_learn(m, n, share):
    A, y = _draw(m, n, seed=m)
    tau = share * np.abs(A.T @ y).max()
    found = solve_lasso(A, y, tau)
    assert found.solved
    other = SklearnLasso(alpha=tau / m, fit_intercept=False, tol=1e-12, max_iter=200_000).fit(A, y)
    np.testing.assert_allclose(found.x, other.coef_, atol=2e-6)
    np.testing.assert_array_equal(found.residual, y - A @ found.x)

    def objective(x):
        return 0.5 * ((y - A @ x) ** 2).sum() + tau * np.abs(x).sum()

    assert objective(found.x) <= objective(other.coef_) + 1e-13


@settings(max_examples=60, deadline=None)
@example(2, 14, 0.015625, 0)  # dependent columns on the way
@given(st.integers(1, 12), st.integers(1, 16), st.floats(1e-3, 2.0), st.integers(0, 10_000))
def test_it_is_a_fixed_point_of_every_proximal_gradient_step(m, n, share, seed):
    A, y = _draw(m, n, seed)
    tau = share * np.abs(A.T @ y).max() + 1e-9
    found = solve_lasso(A, y, tau)
    assert found.solved
    assert bool(found.x.any()) == (share < 1 and tau < np.abs(A.T @ y).max())
    for a in (0.1, 1.0, 7.0):
        np.testing.assert_allclose(soft(found.x + a * A.T @ found.residual, a * tau), found.x, atol=3e-11)


def test_without_penalty_it_is_least_squares():
    A, y = _draw(9, 4, 0)
    np.testing.assert_allclose(solve_lasso(A, y, 0.0).x, np.linalg.solve(A.T @ A, A.T @ y), atol=1e-13)
    wide, y = _draw(4, 9, 0)
    assert solve_lasso(wide, y, 0.0).solved


def test_orthonormal_columns_are_thresholded():
    Q = np.linalg.qr(np.random.RandomState(0).randn(9, 5))[0]
    y = np.random.RandomState(1).randn(9)
    np.testing.assert_allclose(solve_lasso(Q, y, 0.4).x, soft(Q.T @ y, 0.4), atol=1e-14)


def test_an_unfinished_search_says_so(monkeypatch):
    monkeypatch.setattr("unrollbit.theory.convergence.lasso._STEPS", 0)
    A, y = _draw(9, 12, 0)
    assert not solve_lasso(A, y, 0.01).solved


@pytest.mark.parametrize("rho", [0.05, 1.0, 30.0])
@pytest.mark.parametrize(("m", "n"), [(8, 14), (14, 8)])
def test_exact_admm_rests_at_its_fixed_point(m, n, rho):
    A, y = _draw(m, n, 3)
    tau = 0.2
    solution = solve_lasso(A, y, tau)
    v, q = admm_fixed_point(A, solution, rho)
    inverse = np.linalg.inv(A.T @ A + rho * np.eye(n))
    z = soft(v, tau / rho)
    np.testing.assert_allclose(z, solution.x, atol=1e-12)
    np.testing.assert_allclose(q, 2 * z - v, atol=1e-12)
    np.testing.assert_allclose(v - z + rho * inverse @ q + inverse @ (A.T @ y), v, atol=1e-11)
    start = np.zeros(n)
    for _ in range(4000):  # and is reached from 0
        z = soft(start, tau / rho)
        start = start - z + rho * inverse @ (2 * z - start) + inverse @ (A.T @ y)
    np.testing.assert_allclose(soft(start, tau / rho), solution.x, atol=1e-5)


def test_malformed_problems_are_refused():
    A, y = _draw(4, 6, 0)
    with pytest.raises(
        ValueError, match=r"solve_lasso: expected A \(m, n\) and y \(m,\), got shapes \(4, 6\) and \(3,\)"
    ):
        solve_lasso(A, y[:3], 0.1)
    with pytest.raises(ValueError, match=r"solve_lasso tau: expected a finite weight >= 0, got -0\.1"):
        solve_lasso(A, y, -0.1)
    with pytest.raises(ValueError, match=r"rho: expected > 0, got 0"):
        admm_fixed_point(A, solve_lasso(A, y, 0.1), 0.0)
