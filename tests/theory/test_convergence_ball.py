"""C4 and C5: balls around the Lasso solution; values by hand, explicit exact steps, random networks, broken bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.convergence import C4, C5, admm_grid, ball, inexact_ball, solve_lasso
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import spectral_norm
from unrollbit.theory.random_forms import random_form, sparse_signals

POSITIVE = "<G_k^T, A> > 0 for every k"
FOUND = "the reference solution is found to 1e-12"


def _scalar(kind, steps, theta):
    one = np.ones((1, 1))
    return NormalForm.from_arrays(kind, one, one[None], np.asarray(steps, float), np.asarray(theta, float))


def test_c4_by_hand():
    """A = 1, steps 1/2, tau = 1, y = 5: x° = 4, and the thresholds 1/2 are exact, so the error halves."""
    report = C4(_scalar("ista", [0.5, 0.5], [0.5, 0.5]), np.array([5.0]))
    assert report.bounds == report.measurements == (4.0, 2.0, 1.0)
    assert not report.vacuous
    wrong = _scalar("ista", [0.5], [1.0])  # |theta - a tau| = |1 - 3/4| and |1/2 - 3/4| |r°|
    assert C4(wrong, np.array([5.0]), 1.0).bound == pytest.approx(2 + 0.5)
    assert C4(wrong, np.array([5.0]), 1.0).measured == pytest.approx(4 - 1.5)
    descent = C4(_scalar("gd", [0.5, 0.5], [9.0, 9.0]), np.array([4.0]))
    assert descent.bounds == descent.measurements == (4.0, 2.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_exact_proximal_gradient_has_no_error(seed):
    random = np.random.RandomState(seed)
    A = random.randn(20, 10) / 4
    a = 1 / np.linalg.norm(A, 2) ** 2
    form = NormalForm.from_arrays("ista", A, A[None], np.full(6, a), np.full(6, 0.1 * a))
    y = random.randn(20)
    report, rate = C4(form, y), float(form.H_norms[0])
    np.testing.assert_allclose(
        report.bounds, np.linalg.norm(solve_lasso(A, y, 0.1).x) * rate ** np.arange(7), rtol=1e-8
    )
    found = inexact_ball(form, y)
    assert found is not None
    assert found[0] == rate
    assert found[1] < 1e-9
    assert inexact_ball(replace(form, H=2 * form.H), y) is None


@pytest.mark.parametrize("seed", range(10))
def test_the_ball_and_the_classical_rate(seed):
    """The closed form of a contracting recursion, and ||H_k|| <= q_k + kappa_k."""
    form = random_form("ista", seed, m=40, n=8, depth=6, flips=0.02, gain=1.5)
    y = sparse_signals(form, seed, 1, noise=0.1)[1][0]
    report, found = C4(form, y), inexact_ball(form, y)
    assert found is not None
    assert report.bound <= found[0] ** 6 * report.bounds[0] + found[1] + 1e-12
    assert report.measured <= found[0] ** 6 * report.bounds[0] + found[1]
    spectrum = np.linalg.eigvalsh(form.A.T @ form.A)
    for k in range(6):
        a = (form.G[k].T * form.A).sum() / (form.A**2).sum()
        q = max(abs(1 - a * spectrum[0]), abs(1 - a * spectrum[-1]))
        assert form.H_norms[k] <= q + spectral_norm((form.G[k] - a * form.A.T) @ form.A) + 1e-12


def test_c5_by_hand():
    """A = 1, rho = 1/4 (step 4/5), tau = 1/4, y = 4: z° = 15/4, v° = 19/4; exact steps and thresholds have no error.

    The factor is (1 + |1 - 8/5|) / 2 = 4/5.
    """
    form = _scalar("admm", [0.8] * 3, [1.0] * 4)
    report = C5(form, np.array([4.0]), [(0.25, 0.25)])
    np.testing.assert_allclose(report.bounds, 4.75 * 0.8 ** np.arange(4))
    np.testing.assert_allclose(report.measurements[:2], [3.75, 3.75 - 2.2])
    shifted = C5(replace(form, theta=np.array([1.0, 1.5, 1.0, 1.0])), np.array([4.0]), [(0.25, 0.25)])
    E = 4.75 * 0.8
    np.testing.assert_allclose(shifted.bounds[:3], [4.75, E + 0.5, 0.8 * E + 0.6 * 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_c5_against_explicit_exact_admm(seed):
    """Every term from H° and G° themselves, the fixed point from iterating."""
    form = random_form("admm", seed, m=14, n=9, depth=4)
    y = np.random.RandomState(seed).randn(14)
    rho, tau = 0.7, 0.2
    inverse = np.linalg.inv(form.A.T @ form.A + rho * np.eye(9))
    exact_H, exact_G = rho * inverse, inverse @ form.A.T
    v = np.zeros(9)
    for _ in range(3000):
        z = np.sign(v) * np.maximum(np.abs(v) - tau / rho, 0)
        v = v - z + exact_H @ (2 * z - v) + exact_G @ y
    q = 2 * z - v
    gap = np.sqrt(9) * np.abs(form.theta - tau / rho)
    E = [np.linalg.norm(v)]
    for k in range(4):
        c = 0.5 + np.linalg.norm(form.H[k] - np.eye(9) / 2, 2)
        error = np.linalg.norm((form.H[k] - exact_H) @ q + (form.G[k] - exact_G) @ y)
        E.append(c * E[k] + error + np.linalg.norm(2 * form.H[k] - np.eye(9), 2) * gap[k])
    np.testing.assert_allclose(C5(form, y, [(rho, tau)]).bounds, E + gap, rtol=1e-8)


def test_c5_reports_the_best_pair():
    form = random_form("admm", 3, m=30, n=8)
    y = sparse_signals(form, 3, 1)[1][0]
    pairs = admm_grid(form)
    best = C5(form, y)
    each = [C5(form, y, [pair]) for pair in pairs]
    assert best in each
    assert best.bound / best.measurements[0] == min(r.bound / r.measurements[0] for r in each)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["ista", "gd", "admm"]), st.integers(1, 8), st.integers(0, 6), st.integers(0, 1000))
def test_bounds_hold_for_any_reference(kind, n, extra, seed):
    form = random_form(kind, seed, m=n + extra, n=n, depth=3)
    random = np.random.RandomState(seed)
    y = random.randn(n + extra)
    tau = float(np.exp(random.randn()))
    report = (
        C5(form, y, [(float(np.exp(random.randn())), tau)]) if kind == "admm" else C4(form, y, tau * (kind != "gd"))
    )
    known = report.assumptions.get("A has full column rank", True) and report.assumptions.get(POSITIVE, True)
    assert report.status == ("holds" if known else "not applicable")


@pytest.mark.parametrize("kind", ["ista", "gd", "admm"])
def test_no_random_network_violates_the_bounds(kind):
    random = np.random.RandomState(3)
    tightness = []
    for seed in range(200):
        n = random.randint(3, 40)
        form = random_form(
            kind,
            seed,
            m=n + random.randint(0, 12) if kind == "gd" else random.randint(3, 49),
            n=n,
            depth=random.randint(1, 11),
            tied=bool(seed % 2),
            one_bit=bool(seed % 3),
            flips=(0.0, 0.1, 0.3)[seed % 3],
            density=(1.0, 0.5)[seed // 2 % 2],
            gain=(0.5, 1.0, 2.0)[seed // 3 % 3],
        )
        y = sparse_signals(form, seed, 1, noise=(0.0, 0.05)[seed % 2])[1][0]
        report = C5(form, y, admm_grid(form)[1:4]) if kind == "admm" else C4(form, y)
        known = report.assumptions.get("A has full column rank", True) and report.assumptions.get(POSITIVE, True)
        assert report.status == ("holds" if known else "not applicable")
        tightness += [report.tightness] if report.tightness is not None else []
        if kind == "admm" and form.A.shape[0] < n:
            assert (form.factors >= 1 - 1e-12).all()
            assert report.vacuous
    assert len(tightness) > 150
    low, high = {"ista": (0.05, 0.5), "gd": (0.1, 0.9), "admm": (0.05, 0.5)}[kind]  # 0.20 and 0.19 expected
    assert low < np.median(tightness) < high


def test_what_does_not_apply_says_why(monkeypatch):
    form, y = _scalar("ista", [0.5], [0.5]), np.array([5.0])
    for other, phrase in [
        (random_form("lista", 0, m=3, n=4), "the network is ISTA or gradient descent"),
        (random_form("gd", 0, m=3, n=4), "A has full column rank"),
        (replace(random_form("ista", 0, m=3, n=4), shrink=lambda u, k: u), "the shrinkage is the soft threshold"),
        (_scalar("ista", [-0.5], [0.5]), POSITIVE),
        (_scalar("ista", [0.5], [0.0]), "tau > 0"),
    ]:
        report = C4(other, np.ones(len(other.A)))
        assert report.status == "not applicable"
        assert not report.assumptions[phrase]
    assert not C4(form, y, 0.0).assumptions["tau > 0"]
    assert not C4(_scalar("gd", [0.5], [0.0]), y, 1.0).assumptions["tau = 0 without a shrinkage"]
    assert not C5(form, y).assumptions["the network is ADMM"]
    admm = _scalar("admm", [0.5], [0.5, 0.5])
    assert not C5(replace(admm, theta=np.zeros(2)), y).assumptions["some pair rho, tau > 0 to refer to"]
    assert not C5(replace(admm, shrink=lambda u, k: u), y).assumptions["the shrinkage is the soft threshold"]
    monkeypatch.setattr("unrollbit.theory.convergence.lasso._STEPS", 0)
    for report in (C4(form, y), C5(admm, y, [(1.0, 0.5)])):
        assert report.status == "not applicable"
        assert not report.assumptions[FOUND]


def test_wrong_arguments_are_refused():
    form, y = _scalar("ista", [0.5], [0.5]), np.array([5.0])
    with pytest.raises(ValueError, match=r"C4 y: expected shape \(1,\), got \(2,\)"):
        C4(form, np.ones(2))
    with pytest.raises(ValueError, match=r"C4 tau: expected >= 0, got -1"):
        C4(form, y, -1.0)
    with pytest.raises(ValueError, match=r"C5 y: expected shape \(1,\), got \(2,\)"):
        C5(_scalar("admm", [0.5], [0.5, 0.5]), np.ones(2))
    with pytest.raises(ValueError, match=r"C5 grid: expected pairs \(rho, tau\) of positive numbers"):
        C5(_scalar("admm", [0.5], [0.5, 0.5]), y, [(1.0, 0.0)])


def test_a_reference_off_its_digits_is_never_a_violation(monkeypatch):
    """A Lasso solution that is wrong by 1e-6 would make an exact equality look violated."""
    form, y = _scalar("ista", [0.5, 0.5], [0.5, 0.5]), np.array([5.0])

    def rough(A, y, tau):
        solution = solve_lasso(A, y, tau)
        return ball.Lasso(solution.x + 1e-6, solution.residual - 1e-6, 1e-6)

    monkeypatch.setattr(ball, "solve_lasso", rough)
    assert C4(form, y).status == "not applicable"


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("C4", "form.H_norms[k] * E[k] + eps[k]", "form.H_norms[k] * E[k]"),
        ("C4", "form.H_norms[k] * E[k]", "form.H_norms[k] ** 2 * E[k]"),
        ("_errors", "(wrong + np.sqrt(form.A.shape[1])", "(0 * wrong + np.sqrt(form.A.shape[1])"),
        ("_errors", "np.sqrt(form.A.shape[1]) * np.abs", "np.abs"),
    ],
)
def test_a_broken_c4_is_caught(mutate, monkeypatch, part, old, new):
    """Four equal coordinates; the layer steps too far, or thresholds too much."""
    step, theta = (2.0, 0.2) if "wrong" in old else (0.5, 0.75)
    form = NormalForm.from_arrays("ista", np.eye(4), np.eye(4)[None], np.full(2, step), np.full(2, theta))
    y = np.full(4, 0.2 if "wrong" in old else 5.0)
    tau = 0.19 if "wrong" in old else 0.5
    assert C4(form, y, tau).status == "holds"
    monkeypatch.setattr(ball, part, mutate(getattr(ball, part), old, new))
    assert ball.C4(form, y, tau).status == "violated"


@pytest.mark.parametrize(
    ("old", "new", "steps", "theta", "y", "pair"),
    [
        ("form.factors[k]", "form.H_norms[k]", [0.9] * 3, [8.1] * 4, 1.0, (1 / 9, 0.9)),  # the ADMM trap
        ("E = [float(norms(v))]", "E = [float(norms(solution.x))]", [0.9] * 3, [8.1] * 4, 1.0, (1 / 9, 0.9)),
        (" + drive[k]", "", [0.3] * 3, [0.001] * 4, 1.0, (0.1, 1e-4)),
        (" + form.reflected_norms[k] * gaps[k]", "", [0.1] * 40, [0.0] + [0.5] * 40, 1.0, (9.0, 0.0009)),
        ("np.array(E) + gaps", "np.array(E)", [0.5] * 3, [0.0, 0.0, 0.0, 0.5], 1.0, (1.0, 0.001)),
    ],
)
def test_a_broken_c5_is_caught(mutate, monkeypatch, old, new, steps, theta, y, pair):
    form, y = _scalar("admm", steps, theta), np.array([y])
    assert C5(form, y, [pair]).status == "holds"
    monkeypatch.setattr(ball, "_around", mutate(ball._around, old, new))
    assert C5(form, y, [pair]).status == "violated"


@pytest.mark.parametrize("size", [1e-7, 1e-4, 1e4])
def test_small_and_large_physics(size):
    """The Lasso solution is found relative to the data: an absolute accuracy would take 0 for a solution."""
    for seed in range(10):
        random = np.random.RandomState(seed)
        A = size * random.randn(4, 6)
        step = np.full(3, 1 / spectral_norm(A) ** 2)
        y = A @ (random.randn(6) * (random.rand(6) < 0.5)) + 0.01 * size * random.randn(4)
        tau = 0.1 * np.abs(A.T @ y).max()
        assert C4(NormalForm.from_arrays("ista", A, A[None], step, step * tau), y).status == "holds"
        form = NormalForm.from_arrays("admm", A, A[None], step, np.append(step, step[:1]) * tau)
        assert C5(form, y).status == "holds"


def test_zero_physics_has_no_reference_to_choose():
    form = NormalForm.from_arrays("admm", np.zeros((2, 3)), np.ones((1, 2, 3)), np.ones(2), np.ones(3))
    assert admm_grid(form) == ()
    assert C5(form, np.ones(2)).status == "not applicable"
