"""Rank-one approximations, Dual-SVID, the rotation and the rank of a rate, against independent oracles."""

from __future__ import annotations

import numpy as np
import pytest

from unrollbit.decompositions import (
    decomposed,
    dual_svid,
    joint_rotation,
    nearest_rotation,
    rank_for,
    rank_one,
    rate,
)


def gaussian(m: int, n: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).standard_normal((m, n))


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (70, 90), (1, 4), (3, 1)])
def test_rank_one_is_the_leading_singular_pair(shape: tuple[int, int]) -> None:
    X = gaussian(*shape)
    h, g = rank_one(X)
    U, s, Vt = np.linalg.svd(np.abs(X))
    np.testing.assert_allclose(np.outer(h, g), s[0] * np.outer(U[:, 0], Vt[0]), rtol=1e-9, atol=1e-12)
    assert (h >= 0).all()
    assert (g >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(h), np.linalg.norm(g), rtol=1e-12)
    tiny, small = rank_one(1e-200 * X)
    np.testing.assert_allclose(np.outer(tiny * 1e100, small * 1e100), np.outer(h, g), rtol=1e-9)


def test_rank_one_is_that_of_non_negative_matrix_factorisation() -> None:
    """OneBit's reference uses scikit-learn's NMF: for one component the same optimum."""
    from sklearn.decomposition import NMF

    X = np.abs(gaussian(12, 20))
    model = NMF(n_components=1, init="random", random_state=0, max_iter=2000, tol=1e-12)
    other = model.fit_transform(X) @ model.components_
    np.testing.assert_allclose(np.outer(*rank_one(X)), other, rtol=1e-3)


def test_rank_one_under_a_mask_is_a_stationary_point_below_every_other_start() -> None:
    X, mask = np.abs(gaussian(8, 11)), np.random.RandomState(1).uniform(size=(8, 11)) < 0.6
    h, g = rank_one(X, mask)

    def error(h: np.ndarray, g: np.ndarray) -> float:
        return float(((X - np.outer(h, g))[mask] ** 2).sum())

    best = error(h, g)
    residual = mask * (np.outer(h, g) - X)
    assert max(np.abs(residual @ g).max(), np.abs(residual.T @ h).max()) < 1e-4
    random = np.random.RandomState(2)
    for _ in range(20):
        assert error(h * np.exp(0.1 * random.standard_normal(8)), g) >= best
    assert best <= error(*rank_one(X * mask))
    np.testing.assert_array_equal(np.outer(*rank_one(np.zeros((3, 4)), np.ones((3, 4), bool))), 0)


def by_formula(W: np.ndarray, r: int) -> np.ndarray:
    """Dual-SVID in a few lines of NumPy, factors by SVD of |U| and |V| in full."""
    A, s, Bt = np.linalg.svd(W, full_matrices=False)
    U, V = A[:, :r] * np.sqrt(s[:r]), np.sqrt(s[:r])[:, None] * Bt[:r]

    def first(X: np.ndarray) -> np.ndarray:
        P, t, Qt = np.linalg.svd(np.abs(X))
        return t[0] * np.outer(P[:, 0], Qt[0])

    sign = np.where
    return (sign(U >= 0, 1, -1) * first(U)) @ (sign(V >= 0, 1, -1) * first(V))


@pytest.mark.parametrize(("shape", "rank"), [((12, 20), 5), ((20, 12), 12), ((9, 9), 1)])
def test_dual_svid_is_its_formula(shape: tuple[int, int], rank: int) -> None:
    W = gaussian(*shape)
    factors = dual_svid(decomposed(W), rank)
    np.testing.assert_allclose(factors.dense(), by_formula(W, rank), rtol=1e-9, atol=1e-12)
    assert factors.left.shape == (shape[0], rank)
    assert factors.right.shape == (rank, shape[1])
    np.testing.assert_allclose(factors.left @ factors.right, _truncated(W, rank), atol=1e-12)


def _truncated(W: np.ndarray, rank: int) -> np.ndarray:
    U, s, Vt = np.linalg.svd(W, full_matrices=False)
    return (U[:, :rank] * s[:rank]) @ Vt[:rank]


def test_turns_use_other_singular_values_and_come_round() -> None:
    W = gaussian(8, 12)
    parts = [dual_svid(decomposed(W), 4, first=first) for first in (0, 4)]
    np.testing.assert_allclose(sum(part.left @ part.right for part in parts), W, atol=1e-12)
    around = dual_svid(decomposed(W), 4, first=6)
    np.testing.assert_allclose(around.left @ around.right, W - _truncated(W, 6) + _truncated(W, 2), atol=1e-12)


def test_rotation_is_orthogonal_keeps_the_product_and_helps() -> None:
    W = gaussian(40, 60)
    plain, turned = dual_svid(decomposed(W), 20), dual_svid(decomposed(W), 20, rotate=True)
    R = joint_rotation(np.concatenate([plain.left, plain.right.T]))
    np.testing.assert_allclose(R.T @ R, np.eye(20), atol=1e-12)
    np.testing.assert_allclose(turned.left @ turned.right, plain.left @ plain.right, atol=1e-12)
    assert np.linalg.norm(W - turned.dense()) < 0.97 * np.linalg.norm(W - plain.dense())
    F = np.concatenate([plain.left, plain.right.T])

    def agreement(R: np.ndarray) -> float:
        return float(np.abs(F @ R).sum())  # <F R, sign(F R)>

    levels = [agreement(joint_rotation(F, rounds)) for rounds in range(6)]
    assert levels == sorted(levels)


def test_ranks_of_the_paper() -> None:
    """4096 x 4096 at 1.0, 0.55 and 0.1 bits, without and with the residual (published formula, worked by hand)."""
    assert [rank_for(4096, 4096, bits) for bits in (1.0, 0.55, 0.1)] == [2024, 1104, 184]
    assert [rank_for(4096, 4096, bits, paths=2) for bits in (1.0, 0.55, 0.1)] == [1000, 544, 80]
    # (0.3 * 131072 - 16 * 768) / 784 = 34.48: 32 in steps of 8, 34 in steps of 1
    assert (rank_for(256, 512, 0.3), rank_for(256, 512, 0.3, multiple=1)) == (32, 34)


def test_the_rank_is_the_largest_within_the_target() -> None:
    for m, n in ((64, 64), (96, 200)):
        for bits in (0.7, 0.9, 1.0):
            for multiple in (1, 4):
                rank = rank_for(m, n, bits, multiple=multiple)
                assert rank % multiple == 0
                assert rate(m, n, rank, m * n) <= bits < rate(m, n, rank + multiple, m * n)
    exact = rate(64, 64, 8, 64 * 64)
    assert rank_for(64, 64, exact) == 8  # a target that is met exactly


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((64, 128, 0.1), {}, r"64 x 128 cannot be held at 0.1; the smallest rate is 0.5782 \(rank 8\).*multiple=1"),
        ((64, 128, 0.1), {"multiple": 1}, r"the smallest rate is 0.4004 \(rank 1\)$"),
        ((64, 128, 0.9), {"paths": 2}, r"cannot be held at 0.9 with a residual; the smallest rate is 1.1563"),
        ((64, 128, 0.5), {"entries": 4096}, "with 4096 entries cannot be held"),
        ((64, 128, 4.0), {}, r"no use for 4; the largest rate is 2 \(rank 64\)"),
        ((64, 128, 0.0), {}, "expected a number > 0, got 0.0"),
        ((64, 128, "1"), {}, "expected a number > 0, got '1'"),
        ((64, 128, float("nan")), {}, "expected a number > 0, got nan"),
        ((4, 128, 1.0), {}, r"multiple: expected an integer in \[1, 4\], the smaller side, got 8"),
        ((64, 128, 1.0), {"multiple": 0}, "multiple: expected an integer"),
    ],
)
def test_targets_that_cannot_be_met_are_refused(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_for(*arguments, **options)


def test_the_smallest_rate_of_the_message_can_be_asked_for() -> None:
    assert rank_for(64, 128, 0.5782) == 8
    assert rank_for(64, 128, 0.4004, multiple=1) == 1


def test_nearest_rotation_is_the_polar_factor() -> None:
    for M in (gaussian(7, 7), gaussian(7, 7) * np.logspace(0, -6, 7), 1e-200 * gaussian(3, 3), np.diag([1.0, 1, 0])):
        P, _, Qt = np.linalg.svd(M)
        R = nearest_rotation(M)
        np.testing.assert_allclose(R.T @ R, np.eye(len(M)), atol=1e-9)
        np.testing.assert_allclose(np.sum(R * M), np.sum((P @ Qt) * M), rtol=1e-9)
    np.testing.assert_allclose(nearest_rotation(np.array([[0.0, -2], [1, 0]])), [[0, -1], [1, 0]], atol=1e-12)
