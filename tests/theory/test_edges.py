"""Hypotheses that are met exactly, ill-conditioned physics, and inputs that are huge, tiny, empty or zero."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unrollbit.theory import audit
from unrollbit.theory import convergence as C
from unrollbit.theory import generalization as G
from unrollbit.theory import sensitivity as N
from unrollbit.theory import stability as S
from unrollbit.theory.convergence import C1, C7, C1b, C3a, c1_schedule, solve_lasso
from unrollbit.theory.generalization import NetworkClass, part_bits, project
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.numerics import at_most, norms
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.sensitivity import N6, N1free, flipped, quantised, random_flips
from unrollbit.theory.stability import S2, S3, S4, S1h, linear_region_radius
from unrollbit.theory.trajectory import asymptotic_jacobian

KINDS = ("ista", "gd", "lista", "admm")


def test_ill_conditioned_physics_keeps_the_limit_of_aligned_descent():
    A = np.array([[1.0, 1.0], [0.0, 1e-4]])
    form = NormalForm.from_arrays("gd", A, A[None], np.full(8, 0.5))
    x = np.array([1.62, 0.61])
    report = C3a(form, x, A @ x)
    assert report.status == "holds"
    assert report.bounds[0] == pytest.approx(np.linalg.norm(x), rel=1e-12)  # x_W = x without noise


@pytest.mark.parametrize("seed", range(20))
def test_aligned_descent_holds_for_physics_of_any_condition(seed):
    random = np.random.RandomState(seed)
    U, V = (np.linalg.qr(random.randn(4, 4))[0] for _ in range(2))
    A = U @ np.diag([1.0, 0.3, 1e-2, 10.0 ** -random.randint(3, 6)]) @ V.T
    form = NormalForm.from_arrays("gd", A, A[None], random.rand(6))
    x = random.randn(4)
    assert C3a(form, x, A @ x).status == "holds"


@pytest.mark.parametrize("smallest", [1e-1, 1e-3, 1e-5])
def test_the_lasso_of_ill_conditioned_physics_is_solved(smallest):
    random = np.random.RandomState(0)
    U, V = (np.linalg.qr(random.randn(4, 4))[0] for _ in range(2))
    A = U @ np.diag([1.0, 0.5, 0.1, smallest]) @ V.T
    x = np.array([1.0, -2.0, 3.0, -1.0])
    tau = 1e-3 * smallest**2  # all unknowns stay in the support, whose solution is known
    found = solve_lasso(A, A @ x, tau)
    expected = x - tau * (V @ np.diag(np.array([1.0, 0.5, 0.1, smallest]) ** -2.0) @ V.T) @ np.sign(x)
    assert found.solved
    np.testing.assert_allclose(found.x, expected, rtol=1e-9 / smallest)


@pytest.mark.parametrize("noise", [0.0, 1e-12, 1e-3, 1.0])
def test_a_noise_level_that_is_met_exactly_is_met(noise):
    """The noise is known where it was added; y - A x is that but for rounding."""
    for seed in range(50):
        form = random_form("gd", seed, m=12, n=8, depth=2)
        (x,), (y,), (e,) = sparse_signals(form, seed, 1, noise=noise)
        assert C7(form, x, y, float(np.linalg.norm(e))).status == "holds"
        near = random_form("ista", seed, m=60, n=6, depth=2, flips=0.0)
        (x,), (y,), (e,) = sparse_signals(near, seed, 1, sparsity=1, noise=noise)
        nu = np.abs(near.G @ e).max(axis=1)
        for theorem, size in ((C1, np.abs(x).max()), (C1b, np.abs(x).sum())):
            theta = c1_schedule(near, 1, float(size), nu, classical=theorem is C1b)
            report = theorem(replace(near, theta=theta), x, y, nu=nu, E0=float(size))
            assert report.assumptions["nu_k >= ||G_k e||_inf for every k"]
            assert report.status == "holds" or noise == 1.0  # a rate above 1 is no violation


def test_a_hypothesis_that_is_missed_by_more_than_rounding_is_not_met():
    form = random_form("gd", 0, m=12, n=8, depth=2)
    (x,), (y,), (e,) = sparse_signals(form, 0, 1, noise=0.1)
    assert C7(form, x, y, float(np.linalg.norm(e)) * (1 - 1e-9)).status == "not applicable"
    (a,), (b,) = np.ones((1, 12)), np.full((1, 12), 2.0)
    assert N1free(form, form, a, Y=float(np.linalg.norm(a)) * (1 - 1e-9)).status == "not applicable"
    assert N1free(form, form, a, Y=float(np.linalg.norm(a)) * (1 - 1e-15)).status == "holds"
    assert S3(form, a, b[None], float(np.linalg.norm(b - a)) * (1 - 1e-9)).status == "not applicable"
    assert at_most(1 + 1e-13, 1.0)
    assert not at_most(1 + 1e-11, 1.0)
    assert not at_most(1e-13, 0.0)  # no absolute slack
    assert at_most(1e-13, 0.0, size=1.0)


def test_the_edge_of_the_linear_region_belongs_to_it():
    for kind in ("ista", "lista", "admm"):
        form = random_form(kind, 3, m=6, n=8, depth=3)
        y = sparse_signals(form, 0, 1)[1][0]
        step = np.eye(6)[0] * linear_region_radius(form, y)
        assert S4(form, y, y + np.stack([step, -step])).status == "holds"


@pytest.mark.parametrize("kind", ["ista", "lista", "admm"])
@pytest.mark.parametrize("threshold", [1e160, 1e200, 1e290])
def test_s2_with_huge_thresholds_is_what_it_is_with_small_ones(kind, threshold):
    """Neither side of the sandwich depends on the thresholds."""
    form = random_form(kind, 0, m=5, n=7, depth=3, threshold=0.05)
    huge = replace(form, theta=form.theta * (threshold / 0.05))
    y, others = np.ones(5), np.ones((2, 5)) + np.eye(5)[:2]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, wanted = S2(huge, y, others), S2(form, y, others)
    assert (found.status, found.bound, found.measured) == ("holds", wanted.bound, wanted.measured)
    assert found.bound == pytest.approx(np.linalg.norm(asymptotic_jacobian(form), 2))


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_stores_nothing_has_a_report_for_every_theorem(kind):
    form = random_form(kind, 0, m=6, n=5, depth=2)
    nothing = np.zeros(form.A.shape, bool)
    H = form.H if kind == "lista" else np.broadcast_to(np.eye(5), (2, 5, 5)).copy()
    form = replace(form, G=np.zeros(form.G.shape), H=H, mask=nothing)
    x, y, _ = sparse_signals(form, 0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reports = list(audit.deterministic(form, x, y, audit.Settings(attacked=1)))
    assert {report.status for report in reports} <= {"holds", "not applicable"}
    assert form.magnitudes is None
    (unmet,) = {report.status for report in reports if report.theorem == "N2u"}
    assert unmet == "not applicable"
    assert part_bits(form, [range(5)], 3) == (96,)
    assert NetworkClass.of(form, Y=1.0, gamma_max=1.0, theta_max=1.0).one_bit_nats(0.1) >= 0
    assert not random_flips(form, 0, 0).any()
    with pytest.raises(ValueError, match="expected 0 to 0 flips"):
        random_flips(form, 1, 0)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["ista", "gd", "admm"])
def test_quantising_zero_loses_nothing(kind, tied):
    form = random_form(kind, 0, m=6, n=5, depth=2, tied=tied, one_bit=False)
    form = replace(form, G=0 * form.G, H=np.broadcast_to(np.eye(5), (2, 5, 5)).copy())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        identity, output = N6(form, np.ones(6))
    assert (identity.status, identity.bound, identity.measured) == ("holds", 0.0, 0.0)
    assert (output.status, output.bound, output.measured) == ("holds", 0.0, 0.0)
    np.testing.assert_array_equal(quantised(form).G, 0)


@pytest.mark.parametrize("scale", [1e-250, 1e-200, 1e-170])
def test_the_error_of_quantisation_is_a_share_whatever_the_scale(scale):
    form = random_form("gd", 0, m=6, n=5, depth=2, one_bit=False)
    wanted = N6(form, np.ones(6)).identity
    found = N6(replace(form, G=form.G * scale, H=np.eye(5) - scale * form.G @ form.A), np.ones(6)).identity
    assert found.bound == pytest.approx(wanted.bound)
    assert found.measured == pytest.approx(wanted.measured)


MAGNITUDES = st.sampled_from([0.0, 1e-300, 1e-200, 1e-160, 1e-20, 1.0, 1e20, 1e150, 1e160, 1e200, 1e290])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 5), MAGNITUDES, MAGNITUDES, st.booleans())
def test_signals_and_thresholds_of_any_size_violate_nothing(kind, seed, signal, threshold, tied):
    form = random_form(kind, seed, m=3 + 3 * (kind == "gd"), n=4, depth=1 + seed % 3, tied=tied, threshold=0.5)
    form = replace(form, theta=form.theta * threshold)
    x, y, _ = sparse_signals(form, seed, 1, sparsity=2)
    assume(threshold < 1e308)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reports = list(audit.deterministic(form, x * signal, y * signal, audit.Settings(attacked=1)))
    assert {report.status for report in reports} <= {"holds", "not applicable"}


def test_measurements_that_float64_cannot_perturb_are_a_clear_error():
    form = random_form("ista", 0, m=3, n=4, depth=1)
    with pytest.raises(ValueError, match=r"radius: 0\.001 is lost to rounding beside measurements of norm 4\.94e-324"):
        list(audit.deterministic(form, np.zeros((1, 4)), np.eye(3)[:1] * 5e-324, audit.Settings()))


def test_norms_of_any_size():
    assert norms(np.array([3e200, 4e200])) == pytest.approx(5e200)
    assert norms(np.array([3e-200, 4e-200])) == pytest.approx(5e-200)
    assert norms(np.array([3.0, 4.0])) == 5.0
    assert norms(np.zeros(0)) == norms(np.zeros(3)) == 0.0
    assert norms(np.full((2, 4), 1.5e308)).tolist() == [np.inf, np.inf]
    np.testing.assert_array_equal(norms(np.array([[1.0, -2.0], [3.0, 0.5]]), 1), [3.0, 3.5])
    np.testing.assert_array_equal(norms(np.array([[1.0, -2.0], [3.0, 0.5]]), np.inf), [2.0, 3.0])


def test_projection_of_zero_and_of_tiny_measurements():
    np.testing.assert_array_equal(project(np.zeros((2, 3)), 1.0), 0)
    np.testing.assert_allclose(norms(project(np.full((1, 3), 1e-305), 1e-306)), 1e-306)


def test_the_constant_of_a_far_away_network_is_that_of_the_network():
    form = random_form("gd", 0, m=6, n=5, depth=2)
    y = np.full(6, 1e200)
    assert S1h(form, y, y * (1 + np.eye(6))).tightness <= 1 + 1e-9
    flips = random_flips(form, 1, 0)
    assert flipped(form, flips).G.shape == form.G.shape


FORM, DESCENT = random_form("ista", 0, m=4, n=5, depth=2), random_form("gd", 0, m=6, n=4, depth=2)
ADMM = random_form("admm", 0, m=6, n=4, depth=2)
NOTHING = NormalForm.from_arrays("gd", np.zeros((3, 2)), np.zeros((1, 3, 2)), np.ones(2))
Y, HUGE, INF = np.ones(4), 1e300, float("inf")
FAR = np.ones(4) + HUGE * np.eye(4)
EXTREMES = {
    "losses of a huge error": lambda: G.clipped_losses(np.full((3, 4), 1e200), np.zeros((3, 4)), 1.0),
    "losses of no signals": lambda: G.clipped_losses(np.zeros((0, 4)), np.zeros((0, 4)), 1.0),
    "part losses of a huge error": lambda: G.part_losses(np.full((3, 4), 1e200), np.zeros((3, 4)), [[0], [1]], 1.0),
    "a gap of no losses": lambda: G.measured_gap(np.zeros(0), np.zeros(3)),
    "G1 of no losses": lambda: G.G1(np.zeros(0), 3),
    "G1 of many bits": lambda: G.G1(np.zeros(3), HUGE),
    "G3a of many bits": lambda: G.G3a(np.zeros(3), HUGE),
    "G3b of many bits": lambda: G.G3b(np.zeros(3), HUGE),
    "G6 of no points": lambda: G.G6(np.zeros((0, 3)), np.zeros(0, bool)),
    "projection of infinity": lambda: project(np.full((1, 3), INF), 1.0),
    "a covering gap of a large cover": lambda: G.covering_gap(lambda _: HUGE, 10, lipschitz=1e-300),
    "a covering gap of a steep loss": lambda: G.covering_gap(lambda _: 1.0, 10, lipschitz=HUGE),
    "nats of a deep network": lambda: G.dense_relu_nats(3, 4, 200, Y=1e200, v=1e10, eps=1e-3),
    "a class of huge limits": lambda: NetworkClass.of(FORM, Y=HUGE, gamma_max=1e9, theta_max=HUGE).one_bit_nats(1e-6),
    "a class without physics": lambda: NetworkClass.of(NOTHING, Y=1.0, gamma_max=1.0, theta_max=0.0).one_bit_nats(1e-6),
    "a loss constant of 0": lambda: G.loss_lipschitz(0.0),
    "the code of nothing": lambda: G.code_length([], 0),
    "klinv of infinity": lambda: G.klinv(0.5, INF),
    "huge labels": lambda: G.separable(np.full((3, 2), HUGE), np.array([True, False, True])),
    "a schedule from a huge start": lambda: C.c1_schedule(FORM, 2, HUGE),
    "no non-zeros": lambda: C.babel(FORM, 0),
    "the Lasso without unknowns": lambda: C.solve_lasso(np.zeros((3, 0)), np.ones(3), 1.0),
    "the Lasso of zero physics": lambda: C.solve_lasso(np.zeros((3, 2)), np.ones(3), 1.0),
    "the Lasso of NaN": lambda: C.solve_lasso(np.eye(3), np.full(3, np.nan), 1.0),
    "the Lasso of infinity": lambda: C.solve_lasso(np.eye(3), np.full(3, INF), 1.0),
    "C3 of zero physics": lambda: C.C3(NOTHING, np.ones(2), np.ones(3)),
    "C3a of zero physics": lambda: C.C3a(NOTHING, np.ones(2), np.ones(3)),
    "C4 of zero physics": lambda: C.C4(NOTHING, np.ones(3)),
    "C5 without thresholds": lambda: C.C5(replace(ADMM, theta=0 * ADMM.theta), np.ones(6)),
    "C7 of zero physics": lambda: C.C7(NOTHING, np.ones(2), np.ones(3), 9.0),
    "C7 of a huge noise": lambda: C.C7(DESCENT, np.zeros(4), np.zeros(6), INF),
    "C1 of zero": lambda: C.C1(FORM, np.zeros(5), Y),
    "C2 of zero": lambda: C.C2(FORM, np.zeros(5), 0 * Y),
    "a tiny attack": lambda: S.adversarial(FORM, Y, 5e-324, steps=2),
    "a huge attack": lambda: S.adversarial(FORM, Y, HUGE, steps=2),
    "S1 of far points": lambda: S.S1(FORM, Y, FAR),
    "S1 of the farthest points": lambda: S.S1(FORM, np.full(4, 1.7e308), np.full((1, 4), -1.7e308)),
    "S3 of far points": lambda: S.S3(FORM, Y, FAR, 1e301),
    "balls of no radius": lambda: S.ball_constants(FORM, Y, []),
    "the region of zero": lambda: S.linear_region_radius(replace(FORM, theta=0 * FORM.theta), 0 * Y),
    "N1 of NaN": lambda: N.N1(FORM, FORM, np.nan * Y),
    "N1free of all measurements": lambda: N.N1free(FORM, FORM, Y, INF),
    "N2u of NaN": lambda: N.N2u(FORM, np.nan * Y, 1, []),
    "N3 of infinite deviations": lambda: N.N3(FORM, Y, 0.1, np.full(200, INF)),
    "a huge error of the scale": lambda: N.with_scale_error(FORM, 1e308),
    "greedy flips at zero": lambda: N.greedy_flips(FORM, 0 * Y, 2),
}


@pytest.mark.parametrize("call", EXTREMES.values(), ids=EXTREMES)
def test_extreme_arguments_have_a_value_or_are_told_what_is_expected(call):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = call()
        except ValueError as error:
            found = str(error)
    if isinstance(found, str):
        assert "expected" in found
    else:
        assert getattr(found, "status", "holds") != "violated"


def test_values_at_extremes():
    np.testing.assert_array_equal(EXTREMES["losses of a huge error"](), 1.0)
    by_hand = sum(
        (12 if k == 0 else 16) * np.log(4e15)
        + (12 if k == 0 else 16) * (199 * np.log(1e10) + np.log(12 if k == 0 else 16) / 2 + np.log(1e200))
        for k in range(200)
    )
    assert EXTREMES["nats of a deep network"]() == pytest.approx(by_hand, rel=1e-12)
    np.testing.assert_allclose(solve_lasso(1e200 * np.eye(3), np.array([3.0, -2.0, 0.5]), 1e200).x * 1e200, [2, -1, 0])
    np.testing.assert_allclose(solve_lasso(1e-90 * np.eye(3), np.array([3, -2, 0.5]), 1e-90).x / 1e90, [2, -1, 0])
