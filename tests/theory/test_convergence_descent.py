"""C3, C3a and C3b: values by hand, random networks and broken bounds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.convergence import C3, C3a, C3b, aligned_factor, alignment, descent
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.trajectory import recover


def _gd(W, steps, A=None):
    W = np.atleast_2d(np.asarray(W, float))
    return NormalForm.from_arrays("gd", np.eye(len(W)) if A is None else A, W[None], np.asarray(steps, float))


def test_one_by_one_by_hand():
    x, y = np.array([8.0]), np.array([7.0])  # e = -1
    form = _gd([[1.0]], [0.5, 0.25])
    for theorem in (C3, C3b):
        report = theorem(form, x, y)
        assert report.bounds == report.measurements == (8.0, 4.5, 3.625)
        assert not report.vacuous
    aligned = C3a(form, x, x)
    np.testing.assert_allclose(aligned.bounds, (8.0, 4.0, 3.0))
    np.testing.assert_allclose(C3a(form, x, y).bounds, (7 + 1, 3.5 + 1, 2.625 + 1))
    np.testing.assert_allclose(C3a(form, x, x + 1).bounds, (9 + 1, 4.5 + 1, 3.375 + 1))


def test_products_see_directions_that_norms_do_not():
    """Layers that halve different coordinates: the norms stay 1, their product is 1/2 ... and exact."""
    W = np.stack([np.diag([0.5, 0.0]), np.diag([0.0, 0.5])])
    form = NormalForm.from_arrays("gd", np.eye(2), W, np.ones(2))
    x = np.ones(2)
    layered, product = C3(form, x, x), C3b(form, x, x)
    assert layered.vacuous
    assert layered.bound == pytest.approx(np.sqrt(2))
    assert product.bound == pytest.approx(np.sqrt(0.5))
    assert product.tightness == pytest.approx(1.0)
    assert not product.vacuous


def test_a_layer_that_does_not_contract_makes_c3_vacuous():
    report = C3(_gd(np.eye(2), [2.5, 1.0]), np.ones(2), np.ones(2))
    assert report.bound == 0.0
    assert report.status == "holds"
    assert report.vacuous


def test_alignment_by_hand():
    """W = a rotation by phi: mu = cos phi, L = 1, factor sin phi, and it is attained."""
    phi = 0.6
    W = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    form = _gd(W, [np.cos(phi)] * 3)
    mu, L = alignment(form)
    np.testing.assert_allclose(mu / L, np.cos(phi))
    report = aligned_factor(form)
    assert report.bound == pytest.approx(np.sin(phi))
    assert report.tightness == pytest.approx(1.0)
    x = np.array([3.0, 4.0])
    run = C3a(form, x, x)
    np.testing.assert_allclose(run.bounds, 5 * np.sin(phi) ** np.arange(4))
    np.testing.assert_allclose(run.measurements, run.bounds)


def test_the_limit_is_the_oblique_solution_whatever_the_matrix():
    form = random_form("gd", 5, m=24, n=6, depth=1, flips=0.05)
    mu, L = alignment(form)
    G = np.repeat(form.G * (mu / L**2)[:, None, None], 4000, axis=0)
    many = replace(form, G=G, H=np.eye(6) - G @ form.A, theta=np.zeros(4000))
    random = np.random.RandomState(0)
    x, e = random.randn(6), 0.1 * random.randn(24)
    np.testing.assert_allclose(recover(many, form.A @ x), x, atol=1e-9)
    report = C3a(many, x, form.A @ x + e)
    oblique = np.linalg.solve(form.G[0] @ form.A, form.G[0] @ e)
    assert report.status == "holds"
    assert report.bound == pytest.approx(np.linalg.norm(oblique), rel=1e-6)
    assert report.measured == pytest.approx(report.bound, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 6), st.integers(0, 1000), st.floats(0.01, 100))
def test_products_are_never_worse_and_bounds_scale(n, extra, seed, scale):
    form = random_form("gd", seed, m=n + extra, n=n, depth=4)
    random = np.random.RandomState(seed)
    x, y = random.randn(n), random.randn(n + extra)
    layered, product = C3(form, x, y), C3b(form, x, y)
    assert layered.status == product.status
    if layered.status == "holds":
        assert (np.array(product.bounds) <= np.multiply(layered.bounds, 1 + 1e-9) + 1e-12).all()
        np.testing.assert_allclose(
            C3b(form, scale * x, scale * y).bounds, np.multiply(scale, product.bounds), rtol=1e-8
        )


def test_no_random_network_violates_the_bounds():
    random = np.random.RandomState(2)
    tightness = {"C3": [], "C3a": [], "C3b": [], "factor": []}
    for seed in range(220):
        n = random.randint(2, 25)
        form = random_form(
            "gd",
            seed,
            m=n + random.randint(0, 30),
            n=n,
            depth=random.randint(1, 11),
            tied=bool(seed % 2),
            one_bit=bool(seed % 3),
            flips=(0.0, 0.1, 0.3)[seed % 3],
            density=(1.0, 0.5)[seed // 2 % 2],
            gain=(0.5, 1.0, 2.0)[seed // 3 % 3],
        )
        x = random.randn(n)
        y = form.A @ x + (0.0, 0.05)[seed % 2] * random.randn(len(form.A))
        for name, theorem in (("C3", C3), ("C3a", C3a), ("C3b", C3b)):
            report = theorem(form, x, y)
            assert report.status != "violated"
            tightness[name] += [report.tightness] if report.tightness is not None else []
        factor = aligned_factor(form)
        assert factor.status != "violated"
        tightness["factor"] += [factor.tightness] if factor.tightness is not None else []
    medians = {name: np.median(values) for name, values in tightness.items()}
    assert min(map(len, tightness.values())) > 40
    assert 0.25 < medians["C3"] <= medians["C3b"] < 0.9  # 0.61 expected for both
    assert medians["C3a"] > 0.05
    assert medians["factor"] > 0.97  # 0.99 expected


def test_what_does_not_apply_says_why():
    wide = random_form("gd", 0, m=3, n=4)
    for theorem in (C3, C3a, C3b):
        report = theorem(wide, np.ones(4), np.ones(3))
        assert report.status == "not applicable"
        assert not report.assumptions["m >= n"]
        assert not report.assumptions["A has full column rank"]
        ista = random_form("ista", 0, m=5, n=4)
        assert not theorem(ista, np.ones(4), np.ones(5)).assumptions["the network is gradient descent"]
        boxed = replace(_gd(np.eye(2), [1.0]), shrink=lambda u, k: u)
        assert not theorem(boxed, np.ones(2), np.ones(2)).assumptions["no shrinkage"]
        same = _gd(np.ones((2, 2)), [1.0], np.ones((2, 2)))
        assert not theorem(same, np.ones(2), np.ones(2)).assumptions["A has full column rank"]
    against = _gd(-np.eye(2), [1.0])
    assert not C3a(against, np.ones(2), np.ones(2)).assumptions["lambda_min((W^T A + A^T W) / 2) > 0"]
    assert aligned_factor(against).status == "not applicable"
    untied = NormalForm.from_arrays("gd", np.eye(2), np.stack([np.eye(2), np.diag([1, 2.0])]), np.ones(2))
    assert not C3a(untied, np.ones(2), np.ones(2)).assumptions["every G_k is a multiple of one matrix"]


def test_wrong_arguments_are_refused():
    form = _gd(np.eye(2), [1.0])
    for name, theorem in (("C3", C3), ("C3a", C3a), ("C3b", C3b)):
        with pytest.raises(ValueError, match=rf"{name} x: expected shape \(2,\), got \(3,\)"):
            theorem(form, np.ones(3), np.ones(2))
        with pytest.raises(ValueError, match=rf"{name} y: expected finite numbers"):
            theorem(form, np.ones(2), np.full(2, np.inf))


def test_factors_that_cancel_are_not_rounded_below_the_norm():
    """B = I + a skew part of 1e-9: 1 - (mu / L)^2 rounds to 0, while the norm is 1e-9."""
    W = np.array([[1.0, -1e-9], [1e-9, 1.0]])
    form = _gd(W, [1.0, 1.0])
    assert aligned_factor(form).status == "holds"
    assert C3a(form, np.ones(2), np.ones(2)).status == "holds"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("C3", "form.H_norms[k] * E[k] + noise[k]", "form.H_norms[k] * E[k]"),
        ("C3", "form.H_norms[k] * E[k]", "form.H_norms[k] ** 2 * E[k]"),
        ("C3b", "spectral_norm(P) * size + norms(b)", "spectral_norm(P) * size"),
        ("C3b", "form.H[k] @ b + drive[k]", "0.5 * form.H[k] @ b + drive[k]"),
        ("C3b", "P, b = form.H[k] @ P", "P, b = form.H[k] @ form.H[k] @ P"),
        ("C3a", "+ float(norms(d))", ""),
        ("C3a", "1 - 2 * mu + L**2", "1 - 2 * mu"),
        ("aligned_factor", "1 - (mu / L) ** 2", "1 - mu / L"),
    ],
)
def test_a_broken_bound_is_caught(mutate, name, old, new):
    theorem = getattr(descent, name)
    broken = mutate(theorem, old, new)
    phi = 0.6
    rotation = np.array([[np.cos(phi), -np.sin(phi)], [np.sin(phi), np.cos(phi)]])
    if name == "aligned_factor":
        assert broken(_gd(rotation, [1.0])).status == "violated"
        return
    if name == "C3a":
        form, x, e = _gd(rotation, [0.8, 0.8]), np.ones(2), 2 * np.ones(2)
        e = e if "norms(d)" in old else 0 * e
    else:
        form, x, e = _gd([[1.0]], [0.5, 0.5]), np.array([8.0]), np.array([-1.0])
    assert theorem(form, x, x + e).status == "holds"
    assert broken(form, x, x + e).status == "violated"
