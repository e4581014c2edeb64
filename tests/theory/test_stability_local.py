"""Local constants: balls, linear regions and pairs, by hand, by enumeration of branches and by sampling."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.stability import S3, S4, S5, ball_constants, half_linearised_constants, linear_region_radius
from unrollbit.theory.trajectory import jacobians, run

KINDS = ("ista", "gd", "lista", "admm")


def scalar(h, g, theta, form="lista"):
    one, K = np.ones((1, 1)), len(theta) - (form == "admm")
    H, G = np.full((K, 1, 1), float(h)), np.full((K, 1, 1), float(g))
    return NormalForm(form, one, H, G, np.asarray(theta, float), one.astype(bool))


def around(form, seed, radius, count=20):
    y = sparse_signals(form, seed, 1, noise=0.05)[1][0]
    a = np.random.RandomState(seed).randn(count, len(y))
    return y, y + radius * np.random.RandomState(seed + 1).rand(count, 1) * a / np.linalg.norm(a, axis=1)[:, None]


def test_a_ball_by_hand():
    """h = -1/2, g = 1, thresholds 1 and 0: x_1 = S_1(y), f(y) = y - x_1 / 2, of slope 1 in [-1, 1] and 1/2 outside."""
    form = scalar(-0.5, 1.0, [1.0, 0.0])
    assert S3(form, np.zeros(1), np.array([[0.9]]), 0.9).bound == pytest.approx(1.0)  # layer 1 is off
    on = S3(form, np.array([10.0]), np.array([[11.0]]), 1.0)
    assert on.bound == pytest.approx(0.5)  # both layers are on: the certificate knows that they cancel
    assert on.tightness == pytest.approx(1.0)
    assert not on.vacuous
    across = S3(form, np.array([2.0]), np.array([[0.5]]), 2.0)
    assert across.bound == pytest.approx(1.0)
    assert across.measured == pytest.approx(1.0)  # the slope at the other point, larger than the quotient
    assert ball_constants(form, np.array([10.0]), [100.0, 1.0, 8.0]) == pytest.approx([1.0, 0.5, 0.5])


def test_an_admm_ball_by_hand():
    """K = 1, G = 2, threshold of the output 1: f(y) = S_1(2 y)."""
    form = scalar(0.3, 2.0, [0.0, 1.0], "admm")
    assert S3(form, np.zeros(1), np.array([[0.4]]), 0.4).bound == 0.0
    assert S3(form, np.array([3.0]), np.array([[4.0]]), 1.0).tightness == pytest.approx(1.0)
    assert S3(form, np.array([0.5]), np.array([[1.0]]), 1.0).bound == pytest.approx(2.0)
    assert linear_region_radius(form, np.array([3.0])) == pytest.approx(2.5)


@pytest.mark.parametrize("kind", ["ista", "lista", "admm"])
def test_a_ball_against_the_jacobians_of_a_fine_grid(kind):
    """m = 1: the network is a function on a line, whose largest slope a grid finds."""
    for seed in range(8):
        form = random_form(kind, seed, m=1, n=4, depth=3, threshold=0.2)
        y = np.array([0.5])
        for radius in (0.01, 0.1, 1.0):
            grid = y + np.linspace(-radius, radius, 400)[:, None]
            slope = max(np.linalg.norm(jacobians(form, at)[-1], 2) for at in grid[::10])
            report = S3(form, y, grid, radius)
            assert report.status == "holds"
            assert report.bound is not None
            assert slope <= report.bound * (1 + 1e-9)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 7), st.integers(2, 7))
def test_the_ball_constant_rises_from_the_jacobian_to_s1h(kind, seed, depth, m, n):
    form = random_form(kind, seed, m=m, n=n, depth=depth, density=0.7, threshold=0.2)
    y = around(form, seed, 1.0)[0]
    rho = linear_region_radius(form, y)
    exact = np.linalg.norm(jacobians(form, y)[-1], 2)
    values = ball_constants(form, y, np.array([1e-3, 1e-1, 1.0, 1e3, 1e9]))
    assert (np.diff(values) >= 0).all()
    assert values[0] >= exact * (1 - 1e-12)
    assert values[-1] <= half_linearised_constants(form)[-1]
    if 1e-8 < rho < np.inf:  # nothing is uncertain inside the linear region
        assert ball_constants(form, y, [0.999 * rho])[0] == pytest.approx(exact, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", ["ista", "lista", "admm"])
def test_the_linear_region_is_as_large_as_it_can_be(kind):
    for seed in range(10):
        form = random_form(kind, seed, threshold=0.2)
        y = around(form, seed, 1.0)[0]
        rho, J, u = linear_region_radius(form, y), jacobians(form, y)[:-1], run(form, y).u

        def branches(at, form=form):
            found = run(form, at).u
            return np.sign(found) * (np.abs(found) > form.theta[:, None])

        slopes = np.linalg.norm(J, axis=2)
        reach = np.where(slopes > 0, np.abs(np.abs(u) - form.theta[:, None]) / np.where(slopes > 0, slopes, 1), np.inf)
        k, i = np.unravel_index(reach.argmin(), reach.shape)
        row = J[k, i] / slopes[k, i]
        assert rho == pytest.approx(reach.min())
        changed = [(branches(y + sign * 1.001 * rho * row) != branches(y)).any() for sign in (1, -1)]
        assert any(changed)
        a = np.random.RandomState(seed).randn(50, 16)
        for step in np.concatenate([a / np.linalg.norm(a, axis=1)[:, None], [row], [-row]]):
            assert (branches(y + 0.999 * rho * step) == branches(y)).all()


def test_linear_region_by_hand_and_its_predicates():
    form = scalar(-0.5, 1.0, [1.0, 0.0])
    y = np.array([3.0])  # u_0 = 3 is 2 above 1; u_1 = 3 - 1 = 2 with slope 1/2 is 4 away from 0
    assert linear_region_radius(form, y) == pytest.approx(2.0)
    report = S4(form, y, np.array([[4.9], [1.1]]))
    assert (report.status, report.bound) == ("holds", pytest.approx(0.5))
    assert report.tightness == pytest.approx(1.0)
    beyond = S4(form, y, np.array([[0.5]]))
    assert beyond.status == "not applicable"
    assert beyond.assumptions["no measurements lie farther from y than rho"] is False
    on_the_kink = S4(form, np.ones(1), np.array([[1.1]]))
    assert on_the_kink.assumptions["rho > 0"] is False
    assert linear_region_radius(random_form("gd", 0), np.ones(16)) == np.inf
    assert S4(random_form("gd", 0), np.ones(16), 1e6 * np.eye(16)).status == "holds"


def test_s4_is_exact_along_the_top_singular_vector():
    for seed in range(12):
        form = random_form(("ista", "lista", "admm")[seed % 3], seed, threshold=0.1)
        y = around(form, seed, 1.0)[0]
        rho, top = linear_region_radius(form, y), np.linalg.svd(jacobians(form, y)[-1])[2][0]
        report = S4(form, y, y + 0.999 * rho * top[None])
        assert report.status == "holds"
        assert report.tightness == pytest.approx(1.0, rel=1e-6)


def test_a_pair_by_hand():
    """Two unknowns with crossed layers: only coordinates in one of the two supports count."""
    eye = np.eye(2)
    H = np.array([[[0.0, 5.0], [7.0, 0.0]]] * 2)
    form = NormalForm("lista", eye, H, np.stack([eye] * 2), np.array([1.0, 100.0]), eye > -1)
    report = S5(form, np.array([2.0, 0.0]), np.array([4.0, 0.5]))
    # layer 1: the support is {0} for both: L_1 = 1. layer 2: u = (2, 7), (4, 21.5), nothing passes 100
    assert report.bounds == pytest.approx([1.0, 0.0])
    wide = S5(replace(form, theta=np.array([1.0, 1.0])), np.array([2.0, 0.0]), np.array([4.0, 0.5]))
    # supports {0}, then {0, 1}: H[{0, 1}, {0}] has norm 7, G has norm 1
    assert wide.bounds == pytest.approx([1.0, 8.0])
    assert wide.status == "holds"
    dx = np.linalg.norm(np.array([4.0, 21.5]) - np.array([2.0, 7.0]))
    assert wide.measured == pytest.approx(dx / np.hypot(2.0, 0.5))


@pytest.mark.parametrize("theorem", ["S3", "S4", "S5"])
def test_local_theorems_are_about_the_soft_threshold(theorem):
    form = replace(random_form("ista", 0), shrink=lambda u, k: np.maximum(u, 0))
    y = np.ones(16)
    checks = {
        "S3": lambda: S3(form, y, y + np.eye(16), 1.0),
        "S4": lambda: S4(form, y, y + np.eye(16)),
        "S5": lambda: S5(form, y, y + 1),
    }
    report = checks[theorem]()
    assert report.status == "not applicable"
    assert report.assumptions["the shrinkage is the soft threshold"] is False
    assert report.measured > 0
    with pytest.raises(ValueError, match="expected the soft threshold"):
        ball_constants(form, y, [1.0])
    with pytest.raises(ValueError, match="expected the soft threshold"):
        linear_region_radius(form, y)


def test_predicates_and_errors():
    form, y = random_form("ista", 0), np.ones(16)
    outside = S3(form, y, y + np.eye(16), 0.9)
    assert outside.status == "not applicable"
    assert outside.assumptions == {
        "the shrinkage is the soft threshold": True,
        "all measurements lie in the ball": False,
    }
    assert S5(random_form("admm", 0), y, y + 1).assumptions["the form is ista, lista or gd"] is False
    for radius in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive finite radii"):
            S3(form, y, y + np.eye(16), radius)
    with pytest.raises(ValueError, match=r"positive finite radii, got \[\[1.0\]\]"):
        ball_constants(form, y, [[1.0]])
    with pytest.raises(ValueError, match=r"one other vector of measurements \(16,\), got shape \(2, 16\)"):
        S5(form, y, np.ones((2, 16)))
    with pytest.raises(ValueError, match="that differs from y"):
        S5(form, y, y)
    with pytest.raises(ValueError, match="expected measurements y"):
        S4(form, np.ones(3), np.ones((1, 16)))
