"""C2 and C2u: values by hand, brute force over supports, random networks and broken bounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.convergence import C2, C2u, supports
from unrollbit.theory.convergence.supports import uniform_norms
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals


def _scalar(kind, theta=0.25, depth=2, gain=0.5, H=None):
    one = np.ones((1, 1))
    return NormalForm.from_arrays(kind, one, one[None], np.full(depth, gain), np.full(depth, theta), H=H)


def test_one_by_one_by_hand():
    x = np.array([4.0])
    report = C2(_scalar("ista"), x, x)  # x_1 = 2 - 1/4, x_2 = x_1/2 + 2 - 1/4
    assert report.bounds == (4.0, 2.25, 1.375)
    assert report.measurements == report.bounds
    assert C2(_scalar("gd"), x, x).bounds == (4.0, 2.0, 1.0)
    noisy = C2(_scalar("gd", depth=1), x, x - 1.0)
    assert noisy.bounds == noisy.measurements == (4.0, 2.5)
    lista = C2(_scalar("lista", 0.25, 1, H=np.full((1, 1, 1), 0.25)), x, x)
    assert lista.bounds == lista.measurements == (4.0, 2.25)  # H + G A - I = -1/4: 4/4 + 4/4 + 1/4
    assert C2u(_scalar("ista"), x, x, 1).bounds == report.bounds


def test_false_support_counts():
    """A = I, H = [[0, 0], [1/2, 0]]: the wrong coordinate receives half of the right one."""
    H = np.array([[0.0, 0.0], [0.5, 0.0]])
    form = NormalForm.from_arrays("ista", np.eye(2), (np.eye(2) - H).T[None], np.ones(1), np.zeros(1))
    report = C2(form, np.array([2.0, 0.0]), np.array([2.0, 0.0]))
    assert report.bounds == report.measurements == (2.0, 1.0)
    assert C2(replace(form, theta=np.array([1.0])), np.array([2.0, 0.0]), np.array([2.0, 0.0])).bounds == (2.0, 1.0)


def test_uniform_norms_bound_every_restriction():
    form = random_form("ista", 1, m=5, n=6, depth=3)
    for t in (1, 2, 3, 6):
        limits = uniform_norms(form, t)
        for k in range(3):
            sets = list(itertools.combinations(range(6), t))
            worst = max(np.linalg.norm(form.H[k][np.ix_(R, C)], 2) for R in sets for C in sets)
            assert worst <= limits[k] * (1 + 1e-12)
            assert t > 1 or worst == pytest.approx(limits[k])


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["ista", "lista", "gd"]),
    st.integers(2, 12),
    st.integers(2, 14),
    st.integers(0, 1000),
    st.floats(0.01, 100),
)
def test_bounds_scale_and_follow_permutations(kind, m, n, seed, scale):
    form = random_form(kind, seed, m=m, n=n, depth=3)
    (x,), (y,), _ = sparse_signals(form, seed, 1, noise=0.05)
    one, other = C2(form, x, y), C2(replace(form, theta=scale * form.theta), scale * x, scale * y)
    np.testing.assert_allclose(np.multiply(scale, one.bounds), other.bounds, rtol=1e-8)
    order = np.random.RandomState(seed).permutation(n)
    moved = replace(form, A=form.A[:, order], H=form.H[:, order][:, :, order], G=form.G[:, order])
    np.testing.assert_allclose(C2(moved, x[order], y).bounds, one.bounds, rtol=1e-8)


@pytest.mark.parametrize("kind", ["ista", "lista", "gd"])
def test_no_random_network_violates_the_bounds(kind):
    random = np.random.RandomState(1)
    tightness, uniform, skipped = [], [], 0
    for seed in range(200):
        form = random_form(
            kind,
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
        (x,), (y,), _ = sparse_signals(form, seed, 1, sparsity=random.randint(1, 6), noise=(0.0, 0.03)[seed % 2])
        report, t = C2(form, x, y), max(form.A.shape[1] // 2, 1)
        assert report.status == "holds"
        assert len(report.bounds) == form.depth + 1
        tightness.append(report.tightness)
        loose = C2u(form, x, y, t)
        skipped += loose.status == "not applicable"
        if loose.status == "holds":
            uniform.append(loose.tightness)
            assert np.greater_equal(np.multiply(loose.bounds, 1 + 1e-9), report.bounds).all()
        assert loose.status != "violated"
    assert 0.4 < np.median(tightness) < 0.85  # 0.43 to 0.74 expected
    assert skipped < 200 or kind == "gd"
    assert uniform or kind == "gd"


def test_contractive_layers_give_a_certificate_worth_having():
    form = random_form("ista", 0, m=64, n=32, depth=8, flips=0.0, gain=1.2, threshold=0.02)
    signals, measured, _ = sparse_signals(form, 0, 50)
    reports = [C2(form, x, y) for x, y in zip(signals, measured, strict=True)]
    assert all(report.status == "holds" and not report.vacuous for report in reports)
    assert 0.2 < np.median([report.tightness for report in reports]) < 0.9


def test_what_does_not_apply_says_why():
    for theorem in (C2, lambda *a: C2u(*a, 3)):
        report = theorem(random_form("admm", 0, m=3, n=4), np.ones(4), np.ones(3))
        assert report.status == "not applicable"
        assert not report.assumptions["the network is ISTA, LISTA or gradient descent"]
        firm = replace(_scalar("ista"), shrink=lambda u, k: u)
        assert not theorem(firm, np.ones(1), np.ones(1)).assumptions["the shrinkage is the soft threshold"]
    wide = C2u(random_form("gd", 0, m=3, n=4), np.ones(4), np.ones(3), 2)
    assert wide.assumptions["|a_k| <= t for every k"] is False


def test_stored_thresholds_of_gradient_descent_are_ignored():
    x = np.array([4.0])
    assert C2(replace(_scalar("gd"), theta=np.ones(2)), x, x).bounds == (4.0, 2.0, 1.0)


def test_wrong_arguments_are_refused():
    form = _scalar("ista")
    with pytest.raises(ValueError, match=r"C2 x: expected shape \(1,\), got \(2,\)"):
        C2(form, np.ones(2), np.ones(1))
    with pytest.raises(ValueError, match=r"C2u y: expected shape \(1,\), got \(2,\)"):
        C2u(form, np.ones(1), np.ones(2), 1)
    with pytest.raises(ValueError, match="C2u t: expected a number of coordinates >= 1, got 0"):
        C2u(form, np.ones(1), np.ones(1), 0)


@pytest.mark.parametrize(
    ("part", "old", "new", "kind"),
    [
        ("_path", "g = g - form.theta[:, None] * np.sign(x)", "g = g * 1", "ista"),
        ("_path", "g = defect + form.G @ (y - form.A @ x)", "g = defect + 0 * form.G @ y", "gd"),
        ("_path", "form.H @ x + form.G @ (form.A @ x) - x if", "0.0 if", "lista"),
        ("_path", "(x != 0) | (path.x != 0)", "(x != 0) | (path.x != path.x)", "false"),
        ("_report", "rate * E[k]", "rate * rate * E[k]", "ista"),
    ],
)
def test_a_broken_bound_is_caught(mutate, monkeypatch, part, old, new, kind):
    x, y = np.array([4.0]), np.array([3.0])
    if kind == "false":
        H = np.array([[0.0, 0.0], [0.5, 0.0]])
        form = NormalForm.from_arrays("ista", np.eye(2), (np.eye(2) - H).T[None], np.ones(1), np.zeros(1))
        x = y = np.array([2.0, 0.0])
    else:
        form = _scalar(kind, H=np.full((2, 1, 1), 0.25) if kind == "lista" else None)
    assert C2(form, x, y).status == C2u(form, x, y, 2).status == "holds"
    monkeypatch.setattr(supports, part, mutate(getattr(supports, part), old, new))
    assert C2(form, x, y).status == "violated"
    assert kind == "false" or C2u(form, x, y, 2).status == "violated"  # C2u takes every coordinate here


def test_a_power_iteration_is_caught(monkeypatch):
    """One step of it from a bad start is below the norm."""
    form = NormalForm.from_arrays("gd", np.eye(2), np.diag([0.5, 0.9])[None], np.ones(1))
    monkeypatch.setattr(supports, "restricted_norm", lambda H, rows, columns: np.linalg.norm(H @ [0.6, 0.8]))
    assert C2(form, np.array([1.0, 0.0]), np.array([1.0, 0.0])).status == "violated"


def test_fewer_entries_in_the_uniform_norm_are_caught(mutate):
    H = np.full((2, 2), 0.25)
    form = NormalForm.from_arrays("gd", np.eye(2), (np.eye(2) - H)[None], np.ones(2))
    x = np.ones(2)
    assert C2u(form, x, x, 2).tightness == pytest.approx(1.0)
    broken = mutate(C2u, "uniform_norms(form, t)", "uniform_norms(form, t - 1)")
    assert broken(form, x, x, 2).status == "violated"
