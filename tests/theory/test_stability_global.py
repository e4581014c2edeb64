"""Global Lipschitz constants against values worked by hand, brute force and linear networks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.stability import S1, S2, S1h, asymptotic_jacobian, half_linearised_constants, product_bound
from unrollbit.theory.stability import recursion_constants as constants
from unrollbit.theory.stability.asymptotic import pair_floors, threshold_effect
from unrollbit.theory.stability.differences import differences
from unrollbit.theory.trajectory import recover, run

KINDS = ("ista", "gd", "lista", "admm")


def scalar(h, g, theta, depth=2, form="lista"):
    """A 1 x 1 network with the same H and G in every layer."""
    one = np.ones((1, 1))
    H, G = np.full((depth, 1, 1), float(h)), np.full((depth, 1, 1), float(g))
    return NormalForm(form, one, H, G, np.asarray(theta, float), one.astype(bool))


def points(form, seed=0, count=20, size=1.0):
    random = np.random.RandomState(seed)
    y = random.randn(form.A.shape[0])
    return y, y + size * random.randn(count, form.A.shape[0])


def test_one_by_one_networks_worked_by_hand():
    far = np.array([[1e9]])
    same = scalar(0.5, 2.0, [0.1, 0.1])
    for theorem in (S1, S1h):  # L_1 = 2, L_2 = 0.5 * 2 + 2 = 3: the slope of the network at infinity
        report = theorem(same, np.zeros(1), far)
        assert report.bounds == pytest.approx([2.0, 3.0])
        assert report.measured == pytest.approx(3.0, rel=1e-8)
        assert report.status == "holds"
    opposed = scalar(-0.5, 1.0, [1.0, 0.0])  # slopes: 0 or 1 in layer 1, then 1 - 0.5 of it: at most 1
    assert S1(opposed, np.zeros(1), far).bound == pytest.approx(1.5)
    report = S1h(opposed, np.zeros(1), np.array([[0.5]]))
    assert report.bound == pytest.approx(1.0)
    assert report.measured == pytest.approx(1.0)
    assert report.tightness == pytest.approx(1.0)
    assert S2(opposed, np.zeros(1), far).bound == pytest.approx(0.5)


def test_admm_needs_the_reflected_factor():
    """H = 0: the state remembers itself while z = 0, so that v_2 = 2 G y, although ||H|| = 0."""
    form = scalar(0.0, 1.0, [0.0, 1e6, 0.0], form="admm")
    report = S1(form, np.zeros(1), np.array([[3.0]]))
    assert form.factors == pytest.approx([1.0, 1.0])
    assert report.bound == pytest.approx(2.0)
    assert report.measured == pytest.approx(2.0)
    assert S1h(form, np.zeros(1), np.array([[3.0]])).bound == pytest.approx(2.0)


def test_the_product_bound_by_hand_and_how_the_recursion_compares():
    form = scalar(0.5, 2.0, [0.1, 0.1])
    layer = np.linalg.norm([[0.5, 2.0], [0.0, 1.0]], 2)
    assert product_bound(form) == pytest.approx(layer**2)
    with pytest.raises(ValueError, match="product_bound: expected ista, lista or gd, got admm"):
        product_bound(random_form("admm", 0))
    ratios = []
    for seed in range(40):
        network = random_form(("ista", "lista")[seed % 2], seed, depth=2 + seed % 7, flips=0.3)
        ratios.append(product_bound(network) / constants(network)[-1])
        assert product_bound(network) >= np.linalg.norm(asymptotic_jacobian(network), 2)
    assert np.mean(np.array(ratios) > 1) > 0.8  # for most networks
    assert 1.2 < np.median(ratios) < 4  # 2.0 in the specification


def test_gradient_descent_is_linear_so_that_all_constants_but_s1_are_exact():
    form = random_form("gd", 3)
    J = asymptotic_jacobian(form)
    y, others = points(form)
    np.testing.assert_allclose(recover(form, others), others @ J.T, atol=1e-12)
    top = np.linalg.svd(J)[2][0]
    exact = np.linalg.norm(J, 2)
    report = S1h(form, y, y + top[None])
    assert report.bound == pytest.approx(exact)
    assert report.tightness == pytest.approx(1.0)
    sandwich = S2(form, y, others)
    assert sandwich.bound == pytest.approx(exact)
    assert sandwich.measured == pytest.approx(exact)
    assert sandwich.tightness == pytest.approx(1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_s2_far_pairs_approach_the_linear_network(kind):
    form = random_form(kind, 5, threshold=0.3)
    y, others = points(form)
    report = S2(form, y, others)
    assert report.status == "holds"
    assert report.bound is not None
    floors, found = pair_floors(form, y, others)
    assert found[-1] == pytest.approx(report.bound, rel=2e-3)
    assert floors[-1] == pytest.approx(report.bound * (1.0 if kind == "gd" else 0.999))
    assert (floors <= found * (1 + 1e-9)).all()
    large = np.random.RandomState(1).randn(50, 16) * 10.0 ** np.arange(-5, 5).repeat(5)[:, None]
    away = np.linalg.norm(recover(form, large) - large @ asymptotic_jacobian(form).T, axis=1)
    assert (away <= threshold_effect(form) + 1e-9 * np.linalg.norm(large, axis=1)).all()


def test_s2_of_a_network_that_ignores_its_input_says_nothing():
    report = S2(scalar(0.5, 0.0, [0.1, 0.1]), np.zeros(1), np.ones((1, 1)))
    assert (report.bound, report.status, report.vacuous) == (0.0, "holds", True)


@pytest.mark.parametrize("slope", [0.5, 3.0])
def test_other_shrinkages_by_their_lipschitz_constant(slope):
    base = scalar(0.5, 2.0, [0.0, 0.0])
    form = replace(base, shrink=lambda u, k: slope * u, lipschitz=slope, convex=slope <= 1)
    report = S1(form, np.zeros(1), np.ones((1, 1)))
    assert report.bounds == pytest.approx([2 * slope, slope * (0.5 * 2 * slope + 2)])
    assert report.tightness == pytest.approx(1.0)  # a linear network
    half = S1h(form, np.zeros(1), np.ones((1, 1)))
    assert half.status == ("holds" if slope <= 1 else "not applicable")
    assert S2(form, np.zeros(1), np.ones((1, 1))).status == "not applicable"
    assert product_bound(form) == pytest.approx(np.linalg.norm([[0.5 * slope, 2 * slope], [0, 1]], 2) ** 2)


def test_admm_needs_a_proximal_map():
    form = replace(random_form("admm", 0), shrink=lambda u, k: np.maximum(u, 0))
    y, others = points(form)
    assert S1(form, y, others).status == S1h(form, y, others).status == "holds"
    outside = S1(replace(form, convex=False), y, others)
    assert outside.status == "not applicable"
    assert outside.assumptions == {"the shrinkage is the proximal map of a convex penalty": False}
    assert outside.measured is not None


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 7), st.integers(1, 7))
def test_half_linearised_lies_between_the_lower_bound_and_s1(kind, seed, depth, m, n):
    form = random_form(kind, seed, m=m, n=n, depth=depth, density=0.6, gain=2.0)
    better, plain = half_linearised_constants(form), constants(form)
    assert (better <= plain * (1 + 1e-12)).all()
    assert np.linalg.norm(asymptotic_jacobian(form), 2) <= better[-1] * (1 + 1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_differences_are_those_of_two_runs_and_keep_their_digits_for_near_pairs(kind):
    form = random_form(kind, 2, threshold=0.3)
    y, others = points(form)
    np.testing.assert_allclose(differences(form, y, others), run(form, others).x - run(form, y).x[:, None], atol=1e-12)
    np.testing.assert_allclose(
        differences(form, others[:-1], others[1:]), run(form, others[1:]).x - run(form, others[:-1]).x, atol=1e-12
    )
    step = 2.0**-30 * np.ones((1, 16))  # y + step is exact up to rounding of y, whose digits do not enter
    near = differences(form, np.round(y, 3), np.round(y, 3) + step)[-1]
    nearer = differences(form, np.round(y, 3), np.round(y, 3) + step / 2)[-1]
    np.testing.assert_allclose(near, 2 * nearer, rtol=1e-5)


@pytest.mark.parametrize("theorem", [S1, S1h, S2])
def test_wrong_points_are_refused(theorem):
    form = random_form("ista", 0)
    y = np.ones(16)
    with pytest.raises(ValueError, match=r"expected measurements y \(16,\) and others \(P >= 1, 16\), got \(15,\)"):
        theorem(form, np.ones(15), np.ones((2, 16)))
    with pytest.raises(ValueError, match=r"and others \(P >= 1, 16\), got \(16,\) and \(16,\)"):
        theorem(form, y, np.ones(16))
    with pytest.raises(ValueError, match="finite numbers"):
        theorem(form, y, np.full((2, 16), np.nan))
    with pytest.raises(ValueError, match="at least one vector of measurements that differs"):
        theorem(form, y, np.ones((2, 16)))


def test_a_bound_is_vacuous_where_the_output_may_move_by_its_own_size():
    form = scalar(0.5, 2.0, [0.0, 0.0])  # f(y) = 3 y
    assert not S1(form, np.array([2.0]), np.array([[3.0]])).vacuous  # 3 * 1 < 6
    assert S1(form, np.array([2.0]), np.array([[4.0]])).vacuous  # 3 * 2 = 6
