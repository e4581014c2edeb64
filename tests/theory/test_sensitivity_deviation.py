"""Theorems N1, N1path, N1free: two networks of one form, by hand, on random networks, and with broken bounds."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import ADMM, ISTA, Unrolled
from unrollbit.operators import gaussian
from unrollbit.shrinkage import Box, Firm, GroupSoft, NonNegative
from unrollbit.theory.normal_form import NormalForm, normal_form
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.sensitivity import (
    N1,
    N1free,
    N1path,
    flipped,
    random_flips,
    with_operator_error,
    with_scale_error,
)
from unrollbit.theory.trajectory import recover, run

FORMS = ("ista", "gd", "lista", "admm")
SHAPES = ((16, 24), (24, 16), (12, 12), (8, 20))


def scalar(form, gains, theta=None, a=1.0):
    """A 1x1 network: G_k = gains_k, H_k = 1 - gains_k a."""
    H = np.ones((len(gains), 1, 1)) * 0.5 if form == "lista" else None
    return NormalForm.from_arrays(form, [[a]], np.ones((1, 1, 1)), gains, theta, H=H)


def perturbations(form, y, seed):
    """Pairs (perturbed network, its measurements) of every kind the theorem lists."""
    random = np.random.RandomState(seed)
    m, n = form.A.shape
    weights = flipped(form, random_flips(form, 2, seed))
    found = [(weights, y), (form, y + 0.01 * random.randn(m)), (weights, y + 0.01 * random.randn(m))]
    found.append((replace(form, theta=form.theta * 1.2), y))
    if form.form != "lista":
        dA = 0.02 * random.randn(m, n)
        found += [(with_scale_error(form, 0.05), y), (with_operator_error(form, dA), y)]
        found += [(with_scale_error(form, 0.05 * random.randn(form.depth)), y)]
    else:
        found += [(replace(form, H=form.H + 0.01 * random.randn(*form.H.shape)), y)]
    return found


@pytest.fixture(scope="module")
def battery():
    """Reports on 200 random networks, by theorem and form."""
    found = defaultdict(list)
    for seed in range(50):
        m, n = SHAPES[seed % 4]
        kinds = {"tied": seed % 3 == 0, "one_bit": seed % 5 != 0, "density": (1.0, 0.5)[seed % 2]}
        for kind in FORMS:
            form = random_form(kind, seed, m=m, n=n, depth=1 + seed % 8, gain=(1.0, 0.5, 2.0)[seed % 3], **kinds)
            y = sparse_signals(form, seed, 1, noise=0.01)[1][0]
            for other, y_other in perturbations(form, y, seed):
                found["N1", kind].append(N1(form, other, y, y_other))
                found["N1path", kind].append(N1path(form, other, y, y_other))
                if y_other is y:
                    found["N1free", kind].append(N1free(form, other, y, 1.1 * np.linalg.norm(y)))
    return found


def test_no_random_network_violates(battery):
    assert sum(len(reports) for reports in battery.values()) > 2000
    for (theorem, kind), reports in battery.items():
        wanted = "not applicable" if (theorem, kind) == ("N1path", "admm") else "holds"
        assert {report.status for report in reports} == {wanted}
        assert all(len(report.bounds) == len(report.measurements) for report in reports if report.bounds)


def test_the_support_path_is_never_above_the_trajectory_bound(battery):
    for kind in ("ista", "gd", "lista"):
        for along, on in zip(battery["N1", kind], battery["N1path", kind], strict=True):
            assert on.bound <= along.bound * (1 + 1e-12)
            assert on.measured == along.measured


def test_tightness_of_networks_of_depth_six():
    medians = defaultdict(list)
    for seed in range(15):
        for kind in FORMS:
            form = random_form(kind, seed, m=24, n=16) if seed % 2 else random_form(kind, seed)
            y = sparse_signals(form, seed, 1)[1][0]
            for other, y_other in perturbations(form, y, seed):
                medians["N1"].append(N1(form, other, y, y_other).tightness)
                medians["N1path"].append(N1path(form, other, y, y_other).tightness)
                if y_other is y:
                    medians["N1free"].append(N1free(form, other, y).tightness)
    medians = {name: np.median([each for each in found if each is not None]) for name, found in medians.items()}
    assert 0.15 < medians["N1"] < 0.6
    assert 0.25 < medians["N1path"] < 0.75
    assert 0.01 < medians["N1free"] < 0.15


@given(st.integers(0, 10**6), st.sampled_from(FORMS), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_small_networks_of_any_size(seed, kind, depth, m, n):
    form = random_form(kind, seed, m=m, n=n, depth=depth, threshold=0.3, density=0.7)
    hat = random_form(kind, seed + 1, m=m, n=n, depth=depth, threshold=0.1)
    y, y_other = np.random.RandomState(seed).randn(2, m)
    for report in (N1(form, hat, y, y_other), N1path(form, hat, y, y_other), N1free(form, hat, y)):
        assert report.status == ("not applicable" if report.theorem == "N1path" and kind == "admm" else "holds")


def test_a_scalar_gradient_descent_attains_the_bound():
    form, other = scalar("gd", [0.5, 0.25]), scalar("gd", [0.6, 0.3])
    # x_1 = 0.5, x_2 = 0.75 x_1 + 0.25 = 0.625; hat: 0.6, 0.7 x 0.6 + 0.3 = 0.72
    for report in (N1(form, other, [1.0]), N1path(form, other, [1.0])):
        assert report.measured == pytest.approx(0.095)
        assert report.bounds == pytest.approx((0.1, 0.7 * 0.1 + 0.05 * 0.5))
        assert report.tightness == pytest.approx(1.0)
        assert not report.vacuous
    # free of the trajectory: X_1 = 0.5, D_1 = 0.1, D_2 = 0.7 x 0.1 + 0.05 x 0.5 + 0.05
    assert N1free(form, other, [1.0]).bound == pytest.approx(0.145)
    assert N1(form, scalar("gd", [5.0, 5.0]), [1.0]).vacuous


def test_thresholds_and_measurements_by_hand():
    for kind in ("ista", "lista"):
        form, other = scalar(kind, [1.0], [0.2]), scalar(kind, [1.0], [0.3])
        assert N1(form, other, [1.0]).measured == pytest.approx(0.1)
        assert N1(form, other, [1.0]).bound == N1path(form, other, [1.0]).bound == pytest.approx(0.1)
        assert N1(form, other, [1.0], [0.9]).bound == pytest.approx(0.2)
        assert N1(form, other, [1.0], [0.9]).measured == pytest.approx(0.2)
        assert N1free(form, other, [1.0], 2.0).bound == pytest.approx(0.1)
        assert N1path(form, other, [0.1]).bound == 0  # off in both
    # admm: v_1 = g y, z_1 = v_1 - theta_1
    form, other = scalar("admm", [1.0], [0.2, 0.2]), scalar("admm", [0.9], [0.2, 0.3])
    report = N1(form, other, [1.0])
    assert report.bound == report.measured == pytest.approx(0.2)
    assert N1free(form, other, [1.0]).bound == pytest.approx(0.2)


def test_gradient_descent_ignores_stored_thresholds():
    form = random_form("gd", 0)
    assert N1(form, replace(form, theta=form.theta + 1), np.ones(16)).bound == 0
    assert N1(form, form, np.ones(16)).tightness is None


@pytest.mark.parametrize("kind", ["ista", "gd", "admm"])
@pytest.mark.parametrize("seed", range(5))
def test_errors_of_scale_and_physics_act_as_the_identities_say(kind, seed):
    form = random_form(kind, seed)
    y = sparse_signals(form, seed, 1)[1][0]
    path = run(form, y)
    eps, dA = 0.1 * np.random.RandomState(seed).randn(form.depth), 0.05 * np.random.RandomState(seed).randn(16, 24)
    scaled, mismatched = with_scale_error(form, eps), with_operator_error(form, dA)
    np.testing.assert_allclose(scaled.G, (1 + eps)[:, None, None] * form.G)
    np.testing.assert_allclose(mismatched.H, np.eye(24) - form.G @ (form.A + dA))
    for other, sources in (
        (scaled, [abs(eps[k]) * np.linalg.norm(form.G[k] @ path.r[k]) for k in range(6)]),
        (mismatched, [np.linalg.norm(form.G[k] @ dA @ path.o[k]) for k in range(6)]),
    ):
        D = 0.0
        for k, source in enumerate(sources):
            D = other.factors[k] * D + source
        assert N1(form, other, y).bound == pytest.approx(D, rel=1e-12)
    same = with_scale_error(form, 0.1)
    np.testing.assert_array_equal(same.G, with_scale_error(form, np.full(6, 0.1)).G)


def test_a_mismatch_in_the_data_only_is_carried_by_the_gains():
    form = random_form("gd", 3, m=24, n=16)
    x, y, _ = sparse_signals(form, 3, 1)
    dA = 0.01 * np.random.RandomState(0).randn(24, 16)
    D = 0.0
    for k in range(form.depth):
        D = form.H_norms[k] * D + form.G_norms[k] * np.linalg.norm(dA @ x[0])
    report = N1(form, form, y[0], y[0] + dA @ x[0])
    assert report.bound == pytest.approx(D)
    assert report.measured == pytest.approx(np.linalg.norm(recover(form, dA @ x[0])))


@pytest.mark.long
@pytest.mark.parametrize(
    "algorithm", [ISTA(Firm(), 0.2), ISTA(GroupSoft(2), 0.2), ISTA(Box(-0.5, 0.5)), ADMM(NonNegative(), 0.2)]
)
def test_other_shrinkages_with_a_lipschitz_constant(algorithm):
    form = normal_form(Unrolled(algorithm, gaussian(12, 16), 4))
    assert not form.soft
    random = np.random.RandomState(0)
    for seed in range(5):
        y = random.randn(12)
        other = flipped(form, random_flips(form, 3, seed))
        assert N1(form, other, y, y + 0.1 * random.randn(12)).status == "holds"
        assert N1free(form, other, y).status == "holds"
        assert N1path(form, other, y).assumptions["the shrinkage is the soft threshold"] is False
    another = replace(other, shrink=lambda u, k: u)
    report = N1(form, another, y)
    assert report.status == "not applicable"
    assert report.assumptions["both networks have the same shrinkage"] is False


def doubling(u, k):
    return 2 * u


def test_the_lipschitz_constant_of_the_shrinkage_multiplies_every_layer():
    form, other = (
        replace(scalar("ista", gains), shrink=doubling, lipschitz=2.0) for gains in ([0.5, 0.25], [0.6, 0.3])
    )
    report = N1(form, other, [1.0])  # D_1 = 2 x 0.1, r_1 = 0, D_2 = 2 x 0.7 x 0.2
    assert report.bound == pytest.approx(0.28)
    assert report.measured == pytest.approx(0.28)
    assert N1free(form, other, [1.0]).status == "holds"
    shifted = replace(form, shrink=lambda u, k: u + 1, lipschitz=1.0)
    assert N1free(shifted, shifted, [1.0]).assumptions["the shrinkage maps 0 to 0"] is False
    not_convex = replace(scalar("admm", [0.5]), shrink=doubling, convex=False)
    assert N1(not_convex, not_convex, [1.0]).status == "not applicable"


def test_a_radius_below_the_measurement_is_not_applicable():
    form = random_form("ista", 0)
    report = N1free(form, form, np.ones(16), 3.9)
    assert report.status == "not applicable"
    assert report.assumptions["||y|| <= Y"] is False
    assert N1free(form, form, np.ones(16), 4.0).status == "holds"


def test_wrong_arguments_are_named():
    form, y = random_form("ista", 0), np.ones(16)
    for theorem in (N1, N1path, N1free):
        with pytest.raises(ValueError, match="expected a network of form and shape"):
            theorem(form, random_form("gd", 0), y)
        with pytest.raises(ValueError, match="expected a network of form and shape"):
            theorem(form, random_form("ista", 0, depth=3), y)
        with pytest.raises(ValueError, match=r"y: expected shape \(16,\), got \(2, 16\)"):
            theorem(form, form, np.ones((2, 16)))
    with pytest.raises(ValueError, match=r"y_other: expected shape \(16,\), got \(15,\)"):
        N1(form, form, y, y[1:])
    with pytest.raises(ValueError, match="radius Y >= 0, got -1"):
        N1free(form, form, y, -1)
    with pytest.raises(ValueError, match="got 'lista'"):
        with_scale_error(random_form("lista", 0), 0.1)
    with pytest.raises(ValueError, match="got 'lista'"):
        with_operator_error(random_form("lista", 0), np.zeros((16, 24)))
    with pytest.raises(ValueError, match=r"eps: expected a number or shape \(6,\)"):
        with_scale_error(form, np.ones(5))
    with pytest.raises(ValueError, match=r"dA: expected shape \(16, 24\), got \(24, 16\)"):
        with_operator_error(form, np.zeros((24, 16)))


def test_the_free_bound_covers_the_whole_ball():
    for kind in FORMS:
        form = random_form(kind, 1, m=8, n=6, depth=3)
        other = flipped(form, random_flips(form, 4, 0))
        random = np.random.RandomState(0)
        _, _, directions = np.linalg.svd(form.G[-1] - other.G[-1])
        for y in (*random.randn(20, 8), *directions):
            y = 2 * y / np.linalg.norm(y)
            report = N1free(form, other, y, 2.0)
            assert report.status == "holds"
        assert report.bound == pytest.approx(N1free(form, other, y).bound)
