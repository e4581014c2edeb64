"""`Preconditioned` and `Sum` against NumPy: square roots of matrices, singular values, whitened problems."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings

from unrollbit.algorithms import AMP, FISTA, coherence_matrix, solve
from unrollbit.operators import (
    BlockDiagonal,
    Convolution,
    Dense,
    Hadamard,
    LinearOperator,
    Preconditioned,
    Rademacher,
    Sum,
    gaussian,
    gaussian_blocks,
    ill_conditioned,
)
from unrollbit.shrinkage import Soft
from unrollbit.structures import Blocks, Full

few = settings(max_examples=12, deadline=None, derandomize=True)


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal(shape)


def whitened(A: Any, delta: float) -> tuple[np.ndarray, np.ndarray]:
    """``(A A^T + delta ||A||^2 I)^{-1/2}`` and its product with A, both scaled to columns of RMS norm 1."""
    root: Any = scipy.linalg.sqrtm(A @ A.T + delta * np.linalg.norm(A, 2) ** 2 * np.eye(len(A)))
    P = np.linalg.inv(root.real)
    c = 1.0 / np.sqrt(np.mean(np.sum((P @ A) ** 2, axis=0)))
    return c * P, c * P @ A


@pytest.mark.long
@given(
    m=st.integers(1, 6), more=st.integers(0, 4), seed=st.integers(0, 99), delta=st.sampled_from([0.0, 1e-3, 0.5, 10])
)
@few
def test_product_is_that_of_the_inverse_square_root(m: int, more: int, seed: int, delta: float) -> None:
    A = numbers(m, m + more, seed=seed) + 2 * np.eye(m, m + more)
    with jax.enable_x64(True):
        PA = Preconditioned.of(Dense.of(A), delta)
        P, product = whitened(A, delta)
        size = float(np.linalg.norm(P, 2))  # relative to the strength of the weakest direction
        np.testing.assert_allclose(PA.dense(), product, atol=1e-9 * size)
        np.testing.assert_allclose(PA.accept(jnp.eye(m)).T, P, atol=1e-9 * size)
        np.testing.assert_allclose(np.sqrt(np.mean(np.sum(np.asarray(PA.dense()) ** 2, axis=0))), 1.0, rtol=1e-12)
        assert float(PA.column_rms()) == pytest.approx(1.0, rel=1e-12)
        assert PA.shape == (m, m + more)


def test_without_delta_it_is_a_tight_frame() -> None:
    A = ill_conditioned(12, 30, condition=200.0)
    assert np.linalg.cond(A.dense()) > 100
    PA = Preconditioned.of(A)
    values = np.linalg.svd(np.asarray(PA.dense(), np.float64), compute_uv=False)
    np.testing.assert_allclose(values, np.sqrt(30 / 12), rtol=1e-4)
    # its matrix of least coherence is a multiple of itself, and the row space stays that of A
    best = np.asarray(coherence_matrix(PA).dense(), np.float64)
    ratio = best / np.asarray(PA.dense(), np.float64)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio.mean(0), ratio.shape), rtol=2e-3)
    projector = np.linalg.pinv(np.asarray(A.dense(), np.float64)) @ np.asarray(A.dense(), np.float64)
    np.testing.assert_allclose(PA.dense() @ projector, PA.dense(), atol=1e-4)


@pytest.mark.parametrize("delta", [1e-4, 1e-2, 1.0])
def test_delta_limits_the_gain_of_weak_directions(delta: float) -> None:
    A = np.asarray(ill_conditioned(12, 30, condition=200.0).dense(), np.float64)
    PA = Preconditioned.of(Dense.of(A), delta)
    s = np.linalg.svd(A, compute_uv=False)
    expected = s / np.sqrt(s**2 + delta * s[0] ** 2)
    values = np.linalg.svd(np.asarray(PA.dense(), np.float64), compute_uv=False)
    np.testing.assert_allclose(values / values[0], expected / expected[0], rtol=1e-4)
    gains = np.linalg.norm(np.asarray(PA.preconditioner, np.float64), 2), np.linalg.norm(values, 2) / np.sqrt(30)
    assert gains[1] == pytest.approx(1.0, rel=1e-5)
    assert gains[0] <= np.sqrt(30 / np.sum(expected**2)) / (np.sqrt(delta) * s[0]) * 1.0001


def test_rank_deficient_and_tall_physics() -> None:
    deficient = Dense.of(numbers(6, 3) @ numbers(3, 10, seed=1))
    values = np.linalg.svd(np.asarray(Preconditioned.of(deficient).dense(), np.float64), compute_uv=False)
    np.testing.assert_allclose(values[:3], np.sqrt(10 / 3), rtol=1e-4)
    np.testing.assert_allclose(values[3:], 0.0, atol=1e-4)
    # what A cannot produce is rounding or noise: P drops it
    outside = scipy.linalg.null_space(np.asarray(deficient.dense(), np.float64).T, rcond=1e-5)
    assert outside.shape == (6, 3)
    np.testing.assert_allclose(Preconditioned.of(deficient).accept(jnp.asarray(outside.T, jnp.float32)), 0.0, atol=1e-4)
    tall = Preconditioned.of(Dense.of(numbers(9, 5)))
    np.testing.assert_allclose(tall.dense().T @ tall.dense(), np.eye(5), atol=1e-5)


@pytest.mark.parametrize("delta", [0.0, 0.02])
def test_blocks_are_preconditioned_block_by_block_with_one_scale(delta: float) -> None:
    blocks = numbers(3, 4, 7) * np.array([1.0, 3.0, 0.5])[:, None, None]
    with jax.enable_x64(True):
        PA = Preconditioned.of(BlockDiagonal.of(blocks), delta)
        assert PA.mask() == Blocks(3, 4, 7)
        P, product = whitened(scipy.linalg.block_diag(*blocks), delta)  # ||A||: of the strongest block
        np.testing.assert_allclose(PA.dense(), product, atol=1e-10)
        y = numbers(2, 5, 12, seed=3)
        np.testing.assert_allclose(PA.accept(jnp.asarray(y)), y @ P.T, atol=1e-10)
        assert PA.preconditioner.shape == (3, 4, 4)
    assert Preconditioned.of(gaussian(4, 7)).mask() == Full(4, 7)
    assert Preconditioned.of(Convolution.of([1.0, 0.5], 6)).mask() == Full(6, 6)


@pytest.mark.parametrize("make", [lambda: gaussian(6, 9), lambda: gaussian_blocks(2, 3, 5), lambda: Hadamard(4, 8)])
def test_plain_operators_accept_measurements_as_they_are(make) -> None:
    y = jnp.ones((2, make().shape[0]))
    assert make().accept(y) is y


def test_accept_keeps_leading_axes() -> None:
    PA = Preconditioned.of(gaussian(6, 9), 0.1)
    y = numbers(2, 3, 6).astype(np.float32)
    together = PA.accept(jnp.asarray(y))
    assert together.shape == (2, 3, 6)
    np.testing.assert_allclose(together, y @ np.asarray(PA.preconditioner).T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(PA.accept(jnp.asarray(y[1, 2])), together[1, 2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algorithm", [AMP(Soft()), AMP(), FISTA(regularisation=0.02)])
def test_solving_raw_measurements_equals_solving_whitened_ones(algorithm) -> None:
    A = numbers(10, 20) * np.geomspace(1, 20, 10)[:, None]
    x = numbers(3, 20, seed=1) * (numbers(3, 20, seed=2) > 1)
    y = x @ A.T
    P, product = whitened(A, 1e-3)
    with jax.enable_x64(True):
        found: Any = solve(algorithm, Preconditioned.of(Dense.of(A), 1e-3), jnp.asarray(y), 12, iterates=True).iterates
        expected: Any = solve(algorithm, Dense.of(product), jnp.asarray(y @ P.T), 12, iterates=True).iterates
        np.testing.assert_allclose(found, expected, atol=1e-8)
        assert float(jnp.abs(expected[-1]).max()) > 0.1


def test_preconditioning_helps_where_the_physics_is_ill_conditioned() -> None:
    A = ill_conditioned(40, 80, condition=100.0)
    random = np.random.RandomState(0)
    x = random.standard_normal((20, 80)) * (random.uniform(size=(20, 80)) < 0.05)
    y = A(jnp.asarray(x, jnp.float32))
    plain, better = (np.sum((solve(AMP(), B, y, 30).x - x) ** 2) for B in (A, Preconditioned.of(A)))
    assert better < 0.1 * min(plain, np.sum(x**2))


def test_equal_operators_share_one_program_and_different_ones_are_told_apart() -> None:
    from unrollbit.algorithms.solve import _run

    program: Any = _run

    A, again = (Preconditioned.of(ill_conditioned(7, 13, seed=2), 0.01) for _ in range(2))
    assert A.origin is not again.origin
    assert (A.origin, hash(A.origin)) == (again.origin, hash(again.origin))
    assert A.origin != Preconditioned.of(ill_conditioned(7, 13, seed=3), 0.01).origin
    assert A.origin != A.origin.key
    y = jnp.ones((2, 7))
    first = solve(FISTA(regularisation=0.3), A, y, 4).x
    count = program._cache_size()
    np.testing.assert_array_equal(solve(FISTA(regularisation=0.3), again, y, 4).x, first)
    assert program._cache_size() == count


def test_specs_hold_the_recipe_of_what_was_preconditioned_and_bits_what_is_held() -> None:
    PA = Preconditioned.of(ill_conditioned(6, 9, seed=3), 0.25)
    assert PA.to_spec() == {
        "kind": "Preconditioned",
        "operator": ill_conditioned(6, 9, seed=3).to_spec(),
        "delta": 0.25,
    }
    assert PA.physics_bits() == 0
    assert PA.resident_bits() == 32 * (6 * 6 + 6 * 9)
    assert Preconditioned.of(gaussian_blocks(3, 2, 4)).resident_bits() == 32 * 3 * (2 * 2 + 2 * 4)
    own = Preconditioned.of(Dense.of(numbers(4, 5)), 0.1)
    assert own.physics_bits() == 32 * 20  # A itself: P and P A follow from it
    rebuilt = LinearOperator.from_spec(own.to_spec())
    np.testing.assert_array_equal(rebuilt.dense(), own.dense())
    np.testing.assert_array_equal(rebuilt.accept(jnp.ones(4)), own.accept(jnp.ones(4)))


def test_sum_against_numpy() -> None:
    first, second = Rademacher(6, 9, seed=1), Dense.of(numbers(6, 9))
    total = Sum.of(first, second)
    expected = np.asarray(first.dense()) + numbers(6, 9)
    np.testing.assert_allclose(total.dense(), expected, rtol=1e-6, atol=1e-6)
    x, y = numbers(3, 9, seed=1).astype(np.float32), numbers(3, 6, seed=2).astype(np.float32)
    np.testing.assert_allclose(total(jnp.asarray(x)), x @ expected.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(total.T(jnp.asarray(y)), y @ expected, rtol=1e-4, atol=1e-5)
    assert total.resident_bits() == 6 * 9 + 32 * 6 * 9
    assert total.physics_bits() == 32 * 6 * 9
    assert total.frame_constant is None
    assert isinstance(total.prepare(), Sum)


def test_sums_keep_a_structure_that_both_have() -> None:
    blocks, other = gaussian_blocks(2, 3, 4), gaussian_blocks(2, 3, 4, seed=1)
    assert Sum.of(blocks, other).mask() == Blocks(2, 3, 4)
    assert Sum.of(blocks, gaussian(6, 8)).mask() == Full(6, 8)
    assert Sum.of(gaussian_blocks(2, 3, 4), BlockDiagonal.of(np.ones((1, 6, 8)))).mask() == Full(6, 8)
