"""C1 and C1b: values by hand, brute force over supports, random networks and broken bounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from unrollbit.theory.convergence import C1, C1b, babel, c1_schedule, coherence, noise_bound, one_bit_matrix
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals


def _of(H, depth=3):
    """ISTA on A = I with the given H, thresholds 0."""
    n = len(H)
    return NormalForm.from_arrays(
        "ista", np.eye(n), (np.eye(n) - np.asarray(H)).T[None], np.ones(depth), np.zeros(depth)
    )


PAIR = [[0.3, 0.05], [0.1, 0.2]]


def test_two_by_two_by_hand():
    form = _of(PAIR)
    gamma, mu = babel(form, 1)
    np.testing.assert_allclose(gamma, 0.3)
    np.testing.assert_allclose(mu, 0.1)
    theta = c1_schedule(form, 1, 2.0)
    np.testing.assert_allclose(theta, 0.1 * 2.0 * 0.4 ** np.arange(3))
    x = np.array([2.0, 0.0])
    for theorem, options in [(C1, {}), (C1, {"support": True}), (C1b, {})]:
        report = theorem(replace(form, theta=theta), x, x, **options)
        assert report.status == "holds"
        assert not report.vacuous
        np.testing.assert_allclose(report.bounds, 2.0 * 0.4 ** np.arange(4))
        np.testing.assert_allclose(report.measurements, report.bounds)  # an equality
        assert report.tightness == pytest.approx(1.0)


def test_noise_by_hand():
    form = _of(np.zeros((2, 2)), depth=1)
    form = replace(form, theta=np.array([0.25]))
    x, e = np.array([1.0, 0.0]), np.array([-0.125, 0.25])
    report = C1(form, x, x + e)
    assert report.bounds == (1.0, 0.25 + 0.25)
    assert C1(form, x, x + e, support=True).bounds == (1.0, 0.125 + 0.25)
    assert report.measured == 0.125 + 0.25
    assert C1b(form, x, x + e).bounds == (1.0, 0.5)
    low = replace(form, theta=np.array([0.2499]))
    assert C1(low, x, x + e).status == C1b(low, x, x + e).status == "not applicable"


def test_babel_is_the_worst_support():
    form = random_form("ista", 3, m=6, n=7, depth=2)
    R = np.abs(form.H)
    for s in range(8):
        gamma, mu = babel(form, s)
        for k in range(2):
            sets = list(itertools.combinations(range(7), s))
            inside = [R[k][i, list(S)].sum() for S in sets for i in S]
            outside = [R[k][i, list(S)].sum() for S in sets for i in range(7) if i not in S]
            if s:
                assert gamma[k] == pytest.approx(max(inside))
            if 0 < s < 7:
                assert mu[k] == pytest.approx(max(outside))
            for S in sets[:10]:
                support = np.isin(np.arange(7), S)
                narrow = babel(form, s, support=support)
                assert narrow[0][k] <= gamma[k] + 1e-15
                assert s == 7 or narrow[1][k] <= mu[k] + 1e-15


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 14), st.integers(1, 5), st.integers(0, 1000), st.floats(0.01, 100))
def test_rates_are_ordered_and_bounds_scale(m, n, s, seed, scale):
    form = random_form("ista", seed, m=m, n=n, depth=3)
    gamma, mu = babel(form, s)
    factor, mu0 = coherence._classical(form, s)
    assert (gamma + mu <= factor + s * mu0 + 1e-12).all()
    (x,), (y,), _ = sparse_signals(form, seed, 1, sparsity=s)
    form = replace(form, theta=c1_schedule(form, s, np.abs(x).max()))
    one, other = C1(form, x, y), C1(replace(form, theta=scale * form.theta), scale * x, scale * y)
    assert one.status == other.status == "holds"
    np.testing.assert_allclose(np.multiply(scale, one.bounds), other.bounds, rtol=1e-9)


@pytest.fixture(scope="module")
def battery():
    """Random networks with their signals: wide, tall, masked, tied, one-bit and full precision."""
    found = []
    random = np.random.RandomState(0)
    for seed in range(220):
        form = random_form(
            "ista",
            seed,
            m=random.randint(3, 49),
            n=random.randint(3, 51),
            depth=random.randint(1, 11),
            tied=bool(seed % 2),
            one_bit=bool(seed % 3),
            flips=(0.0, 0.1, 0.4)[seed % 3],
            density=(1.0, 0.4)[seed // 2 % 2],
            gain=(0.5, 1.0, 2.0)[seed // 3 % 3],
        )
        s = random.randint(1, 5)
        (x,), (y,), (e,) = sparse_signals(form, seed, 1, sparsity=s, noise=(0.0, 0.03)[seed % 2])
        found.append((form, s, x, y, e))
    return found


def _scheduled(battery):
    for form, s, x, y, e in battery:
        size = np.linalg.norm(e)
        nu, tallest = np.abs(form.G @ e).max(1), np.abs(x).max()
        yield "uniform", C1, replace(form, theta=c1_schedule(form, s, tallest, nu)), x, y, {"s": s}
        wide, told = noise_bound(form, size), {"s": s + 1, "E0": 1.2 * tallest, "nu": noise_bound(form, size)}
        yield "declared", C1, replace(form, theta=c1_schedule(form, s + 1, 1.2 * tallest, wide)), x, y, told
        narrow = c1_schedule(form, s, tallest, nu, support=x != 0)
        yield "support", C1, replace(form, theta=narrow), x, y, {"support": True}
        flat = c1_schedule(form, s, np.abs(x).sum(), nu, classical=True)
        yield "classical", C1b, replace(form, theta=flat), x, y, {}


def test_no_random_network_violates_the_bounds(battery):
    tightness = {}
    for kind, theorem, form, x, y, options in _scheduled(battery):
        report = theorem(form, x, y, **options)
        assert report.status == "holds"
        tightness.setdefault(kind, []).append(report.tightness)
    assert 0.25 < np.median(tightness["uniform"]) < 0.8  # 0.55 expected
    assert 0.55 < np.median(tightness["support"]) <= 1.0  # 0.83 expected
    assert 0.15 < np.median(tightness["classical"]) < 0.8
    loose = [C1(form, x, y).status for form, _, x, y, _ in battery]  # thresholds that nobody scheduled
    assert "violated" not in loose
    assert loose.count("not applicable") > 0.9 * len(loose)


def test_near_hadamard_columns_contract():
    random = np.random.RandomState(0)
    A = hadamard(64)[:, :32] / 8.0 + 0.01 * random.randn(64, 32)
    form = NormalForm.from_arrays("ista", A, one_bit_matrix(A)[None], np.full(8, np.sqrt(2 / np.pi)), np.zeros(8))
    gamma, mu = babel(form, 2)
    assert (gamma + mu).max() < 0.3
    (x,), (y,), _ = sparse_signals(form, 0, 1, sparsity=2)
    report = C1(replace(form, theta=c1_schedule(form, 2, 3.0)), x, y, s=2, E0=3.0)
    assert report.status == "holds"
    assert report.bound < 1e-3 * np.abs(x).max()
    assert not report.vacuous


def test_assumptions_are_told_in_words():
    form = _of(PAIR)
    x = np.array([2.0, 0.0])
    good = replace(form, theta=c1_schedule(form, 1, 2.0))
    for options, reason in [
        ({"s": 0}, "||x||_0 <= s"),
        ({"E0": 1.0}, "||x||_inf <= E_0"),
        ({"E0": 3.0}, "theta_k >= mu_k E_k + nu_k for every k"),
    ]:
        report = C1(good, x, x, **options)
        assert report.status == "not applicable"
        assert not report.assumptions[reason]
    assert not C1b(good, x, x, E0=1.0).assumptions["||x||_1 <= E_0"]
    report = C1(good, x, x + 0.01, nu=np.zeros(3))
    assert not report.assumptions["nu_k >= ||G_k e||_inf for every k"]
    for kind in ("gd", "lista", "admm"):
        other = random_form(kind, 0, m=3, n=4)
        for theorem in (C1, C1b):
            assert not theorem(other, np.ones(4), np.ones(3)).assumptions["the network is ISTA"]
    firm = replace(good, shrink=lambda u, k: u)
    assert not C1(firm, x, x).assumptions["the shrinkage is the soft threshold"]


def test_zero_signals_stay_zero():
    report = C1(_of(PAIR), np.zeros(2), np.zeros(2))
    assert report.status == "holds"
    assert report.bounds == (0.0,) * 4
    assert report.tightness is None


def test_wrong_arguments_are_refused():
    form, x = _of(PAIR), np.ones(2)
    for call, message in [
        (lambda: C1(form, np.ones(3), x), r"C1 x: expected shape \(2,\), got \(3,\)"),
        (lambda: C1b(form, x, np.ones((1, 2))), r"C1b y: expected shape \(2,\), got \(1, 2\)"),
        (lambda: C1(form, x * np.nan, x), "C1 x: expected finite numbers"),
        (lambda: C1(form, x, x, s=-1), "C1 s: expected a number of non-zeros >= 0, got -1"),
        (lambda: C1(form, x, x, E0=-1.0), "C1 E0: expected >= 0, got -1.0"),
        (lambda: C1(form, x, x, nu=np.ones(2)), "nu: expected 3 bounds >= 0"),
        (lambda: babel(form, -1), "babel s: expected"),
        (lambda: babel(form, 1, support=np.ones(3, bool)), r"babel support: expected shape \(2,\), got \(3,\)"),
        (lambda: noise_bound(form, -1.0), "noise_bound size: expected >= 0"),
        (lambda: c1_schedule(form, 1, -1.0), "expected E0 >= 0 and nu >= 0, got -1.0"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    ("theorem", "old", "new"),
    [
        ("C1", " + form.theta[k]", ""),
        ("C1", "gamma[k] * E[k] + on[k]", "gamma[k] * E[k]"),
        ("C1", "gamma[k] * E[k]", "mu[k] * E[k]"),
        ("C1b", "s * (nus[k] + form.theta[k])", "s * nus[k]"),
        ("C1b", "factor[k] * E[k]", "mu0[k] * E[k]"),
    ],
)
def test_a_broken_bound_is_caught(mutate, theorem, old, new):
    broken = mutate(getattr(coherence, theorem), old, new)
    form, x, e = _of(PAIR, 1), np.array([2.0, 0.0]), np.array([-0.1, 0.1])
    nu = np.abs(form.G @ e).max(1)
    form = replace(form, theta=c1_schedule(form, 1, 2.0, nu))
    assert getattr(coherence, theorem)(form, x, x + e).status == "holds"
    assert broken(form, x, x + e).status == "violated"


def test_a_broken_coherence_lets_false_support_in(monkeypatch, battery):
    monkeypatch.setattr(coherence, "babel", lambda form, s, **_: (babel(form, s)[0], 0 * babel(form, s)[1]))
    reports = [C1(replace(form, theta=0 * form.theta), x, form.A @ x) for form, _, x, _, _ in battery]
    assert sum(report.status == "violated" for report in reports) > 0.8 * len(reports)
    few = [C1(replace(form, theta=0 * form.theta), x, form.A @ x) for form, _, x, _, _ in battery if form.depth == 1]
    assert any(report.status == "violated" and report.measured <= report.bound for report in few)  # support alone


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
def test_the_predicate_and_false_supports_are_judged_in_the_units_of_the_thresholds(size):
    for seed in range(20):
        A = np.random.RandomState(seed).randn(4, 6)
        form = NormalForm.from_arrays("ista", A / np.linalg.norm(A, axis=0), A[None], np.ones(1))
        x = size * np.eye(6)[seed % 6]
        y = form.A @ x
        assert C1(form, x, y).status == "not applicable"
        tight = replace(form, theta=c1_schedule(form, 1, size, support=x != 0))  # some |u_i| equal their threshold
        assert C1(tight, x, y, support=True).status == "holds"


def test_a_false_support_within_rounding_of_one_is_no_rounding_of_zero():
    H = np.zeros((2, 2, 2))
    H[0, 1, 0], H[1, 0, 1] = 1e-12, 1e6
    form = NormalForm("ista", np.eye(2), H, np.eye(2) - H, np.zeros(2), np.ones((2, 2), bool))
    assert C1(form, np.array([1.0, 0.0]), np.array([1.0, 0.0])).status == "not applicable"
