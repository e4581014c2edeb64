"""C6 (the price of one bit) over many draws, C7 (residual certificate); values by hand, broken bounds."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from unrollbit.theory.convergence import C6, C7, babel, one_bit_matrix, price, residual
from unrollbit.theory.convergence.residual import curvature
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals

M, N = 80, 20


@pytest.fixture(scope="module")
def draws():
    random = np.random.RandomState(0)
    return [random.randn(M, N) / math.sqrt(M) for _ in range(400)]


def test_c6_holds_with_its_probability(draws):
    reports = [C6(A, 0.05, gaussian=True) for A in draws]
    assert sum(report.status == "violated" for report in reports) / 400 <= 0.05
    t = math.sqrt(math.pi / M * math.log(2 * N * N / 0.05))
    assert reports[0].bound == pytest.approx(t)
    assert 0.6 < np.median([report.tightness for report in reports]) < 0.95  # 0.49 / 0.66 expected
    full = [np.abs(np.eye(N) - A.T @ A).max() for A in draws]
    ratio = np.median([report.measured for report in reports]) / np.median(full)
    assert 1.05 < ratio < 1.3  # 1.19 expected, sqrt(pi / 2) = 1.25 for the off-diagonal entries


def test_c6_bounds_the_rate_of_c1(draws):
    for A in draws[:20]:
        report = C6(A, gaussian=True)
        form = NormalForm.from_arrays("ista", A, one_bit_matrix(A)[None], np.ones(1), np.zeros(1))
        gamma, mu = babel(form, 3)
        assert gamma[0] + mu[0] <= 2 * 3 * report.measured + 1e-12


def test_c6_by_hand():
    A = np.array([[2.0], [-1.0]])
    np.testing.assert_allclose(one_bit_matrix(A), math.sqrt(math.pi / 4) * np.array([[1], [-1]]))
    assert C6(A, gaussian=True).measured == pytest.approx(3 * math.sqrt(math.pi / 4) - 1)
    assert C6(A, gaussian=True).vacuous
    assert not C6(np.random.RandomState(0).randn(400, 10) / 20, gaussian=True).vacuous


def test_c6_takes_the_word_of_the_caller():
    report = C6(np.eye(3))
    assert report.status == "not applicable"
    assert report.assumptions == {"the entries of A are independent N(0, 1 / m)": False}


def test_a_broken_c6_is_caught(mutate, draws):
    for old, new in [("math.pi / m", "1 / m"), ("2 * n * n / delta", "2 / delta")]:
        broken = mutate(price.C6, old, new)
        assert sum(broken(A, 0.05, gaussian=True).status == "violated" for A in draws) / 400 > 0.5


def test_c7_by_hand():
    A = np.diag([2.0, 1.0])
    form = NormalForm.from_arrays("gd", A, A[None], np.array([0.25]))
    x, e = np.array([0.0, 4.0]), np.array([0.0, 1.0])
    report = C7(form, x, A @ x, 0.0)  # estimate (0, 1), residual 3, kappa = 1
    assert (report.bound, report.measured) == (3.0, 3.0)
    noisy = C7(form, x, A @ x + e, 1.0)  # estimate (0, 5/4), residual 15/4
    assert noisy.bound == pytest.approx(3.75 + 1)
    assert noisy.measured == pytest.approx(2.75)
    away = C7(form, x, A @ x - e, 1.0)  # estimate (0, 3/4), residual 9/4, error 13/4: an equality
    assert away.bound == away.measured == pytest.approx(3.25)
    assert not away.vacuous


def test_curvature_is_below_every_restricted_eigenvalue():
    for seed, (m, n) in enumerate([(9, 5), (4, 6), (30, 6), (40, 7)]):
        A = np.random.RandomState(seed).randn(m, n) / math.sqrt(m)
        for t in range(1, n + 1):
            worst = min(
                np.linalg.norm(A[:, S], -2) ** 2 if len(A) >= t else 0.0 for S in itertools.combinations(range(n), t)
            )
            assert curvature(A, t) <= worst + 1e-12
        assert curvature(A, 1) == pytest.approx((A**2).sum(0).min())


@pytest.mark.parametrize("kind", ["ista", "gd", "lista", "admm"])
def test_no_random_network_violates_c7(kind):
    random = np.random.RandomState(4)
    tightness, skipped = [], 0
    for seed in range(100):
        form = random_form(
            kind,
            seed,
            m=random.randint(3, 49),
            n=random.randint(3, 51),
            depth=random.randint(1, 11),
            tied=bool(seed % 2),
            one_bit=bool(seed % 3),
            density=(1.0, 0.4)[seed // 2 % 2],
        )
        (x,), (y,), _ = sparse_signals(form, seed, 1, noise=(0.0, 0.05)[seed % 2])
        report = C7(form, x, y, float(np.linalg.norm(y - form.A @ x)))
        assert report.status != "violated"
        skipped += report.status == "not applicable"
        tightness += [report.tightness] if report.tightness is not None else []
    assert 0 < skipped < 80
    assert 0.2 < np.median(tightness) < 0.9  # 0.58 expected for gradient descent


def test_c7_asks_nothing_of_the_shrinkage_and_says_what_it_needs():
    A = np.eye(2)
    form = NormalForm.from_arrays("ista", A, A[None], np.ones(1), np.zeros(1))
    x = np.array([1.0, 2.0])
    assert C7(replace(form, shrink=lambda u, k: u / 2), x, x, 0.0).tightness == pytest.approx(1.0)
    assert not C7(form, x, x + 1, 0.5).assumptions["sigma >= ||y - A x||"]
    wide = NormalForm.from_arrays("ista", np.ones((1, 2)), np.ones((1, 1, 2)), np.ones(1), np.zeros(1))
    report = C7(wide, x, np.array([3.0]), 0.0)
    assert report.status == "not applicable"
    assert report.measured is not None
    assert not report.assumptions["A is injective enough on the supports: kappa > 1e-12 ||A||^2"]


def test_wrong_arguments_are_refused():
    form = NormalForm.from_arrays("gd", np.eye(2), np.eye(2)[None], np.ones(1))
    x = np.ones(2)
    for call, message in [
        (lambda: C7(form, np.ones(3), x, 0.0), r"C7 x: expected shape \(2,\), got \(3,\)"),
        (lambda: C7(form, x, x, -1.0), "C7 sigma: expected >= 0, got -1.0"),
        (lambda: C6(np.ones(3)), r"C6 A: expected a finite matrix \(m, n\), got shape \(3,\)"),
        (lambda: C6(np.full((2, 2), np.nan)), "C6 A: expected a finite matrix"),
        (lambda: C6(np.eye(2), 1.0), "C6 delta: expected 0 < delta < 1, got 1.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("old", "new"),
    [("np.sqrt(kappa)", "1"), (" + max(sigma, noise)", "")],
)
def test_a_broken_c7_is_caught(mutate, old, new):
    A = np.diag([2.0, 0.5])
    form = NormalForm.from_arrays("gd", A, A[None], np.array([0.25]))
    x, e = np.array([0.0, 4.0]), np.array([0.0, -1.0])
    assert C7(form, x, A @ x + e, 1.0).status == "holds"
    assert mutate(residual.C7, old, new)(form, x, A @ x + e, 1.0).status == "violated"


def test_gershgorin_with_too_few_entries_is_caught(mutate, monkeypatch):
    A = np.array([[1.0, 0.9], [0.0, math.sqrt(1 - 0.81)]])
    wide = np.hstack([A, np.zeros((2, 1))]) + np.array([[0, 0, 0.0], [0, 0, 1.0]])
    form = NormalForm.from_arrays("ista", wide, np.zeros((1, 2, 3)), np.ones(1), np.zeros(1))
    x = np.array([1.0, -1.0, 0.0])
    monkeypatch.setattr(residual, "curvature", mutate(residual.curvature, "min(t, n) - 1", "min(t, n) - 2"))
    assert C7(form, x, wide @ x, 0.0).status == "violated"


def test_residual_certificate_of_ill_conditioned_physics():
    for seed, smallest in itertools.product(range(10), (1e-7, 1e-3, 1e-1)):
        random = np.random.RandomState(seed)
        U, V = (np.linalg.qr(random.randn(3, 3))[0] for _ in range(2))
        A = U @ np.diag([1e2, 1.0, smallest]) @ V.T
        x = V[:, 2]  # the bound is an equality
        form = NormalForm.from_arrays("gd", A, A[None], np.zeros(1))
        report = C7(form, x, A @ x, 0.0)
        assert report.status == ("holds" if smallest > 1e-6 * 1e2 else "not applicable")
