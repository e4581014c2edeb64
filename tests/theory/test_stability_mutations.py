"""Deliberately broken bounds: each is reported as violated on some network of a small battery."""

from dataclasses import replace

import numpy as np
import pytest

from unrollbit.theory import normal_form
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.stability import adversarial, asymptotic, ball, lipschitz, pair, region


def scalar(h, g, theta, form="lista"):
    one, K = np.ones((1, 1)), len(theta) - (form == "admm")
    H, G = np.full((K, 1, 1), float(h)), np.full((K, 1, 1), float(g))
    return NormalForm(form, one, H, G, np.asarray(theta, float), one.astype(bool))


def battery():
    """Tight networks by hand at y = 2, and random ones."""
    by_hand = [
        scalar(0.5, 2.0, [0.1, 0.1]),
        scalar(-0.5, 1.0, [1.0, 0.0]),
        scalar(0.0, 1.0, [0.0, 50.0, 0.0], "admm"),
        scalar(0.3, 2.0, [0.0, 1.0], "admm"),
        replace(scalar(0.5, 2.0, [0.0, 0.0]), shrink=lambda u, k: 3 * u, lipschitz=3.0, convex=False),
    ]
    drawn = [
        random_form(kind, seed, m=5, n=(4, 8)[seed % 2], depth=1 + seed % 4, threshold=0.2, gain=(1.0, 2.0)[seed % 2])
        for kind in ("ista", "gd", "lista", "admm")
        for seed in range(6)
    ]
    at_random = [(form, sparse_signals(form, 0, 1, sparsity=2, noise=0.1)[1][0]) for form in drawn]
    return [(form, np.array([2.0])) for form in by_hand] + at_random


BATTERY = battery()


def statuses(check, instances=None):
    return {check(form, y).status for form, y in instances or BATTERY}


def far(form, y):
    return y + adversarial(form, y, 1e3, steps=10, starts=6)


def checks(radii=(0.05, 0.5, 3.0)):
    def s3(form, y):
        found = [ball.S3(form, y, y + adversarial(form, y, r, steps=10, starts=6), r) for r in radii]
        return max(found, key=lambda report: report.status == "violated")

    def s4(form, y):
        rho = region.linear_region_radius(form, y) if form.soft else 1.0
        a = adversarial(form, y, 0.999 * min(rho, 10.0), steps=10, starts=6)
        return region.S4(form, y, np.concatenate([y + a, y - a]))

    return {
        "S1": lambda form, y: lipschitz.S1(form, y, far(form, y)),
        "S1h": lambda form, y: lipschitz.S1h(form, y, far(form, y)),
        "S2": lambda form, y: asymptotic.S2(form, y, far(form, y)),
        "S3": s3,
        "S4": s4,
        "S5": lambda form, y: pair.S5(form, y, far(form, y)[0]),
    }


def power_iterated(matrix):
    """Three steps: from below, as upper bounds must never be computed."""
    vector = np.ones(matrix.shape[-1])
    for _ in range(3):
        vector = np.einsum("...ji,...jk,...k->...i", matrix, matrix, vector)
        vector /= np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), 1e-300)
    return np.linalg.norm(np.einsum("...ij,...j->...i", matrix, vector), axis=-1)


@pytest.mark.long
@pytest.mark.parametrize("theorem", ["S1", "S1h", "S2", "S3", "S4", "S5"])
def test_the_true_theorems_hold_on_the_battery(theorem):
    assert statuses(checks()[theorem]) <= {"holds", "not applicable"}
    assert "holds" in statuses(checks()[theorem])


MUTATIONS = [
    ("S1", lipschitz, "recursion_constants", "factor * L + form.lipschitz * gain", "factor * L + 0.9 * gain"),
    ("S1", lipschitz, "recursion_constants", "factor * L + form.lipschitz * gain", "max(factor * L, gain)"),
    ("S1", lipschitz, "recursion_constants", "form.lipschitz * gain", "gain"),
    ("S1", lipschitz, "recursion_constants", "form.factors", "form.H_norms"),
    ("S1h", lipschitz, "half_linearised_constants", "eta = U / 2, nominal + spread", "eta = U / 2, spread"),
    ("S1h", lipschitz, "half_linearised_constants", "(spectral_norm(U) +", "(0.9 * spectral_norm(U) +"),
    ("S1h", lipschitz, "half_linearised_constants", "J = J / 2 + form.G[k]", "J = form.H[k] @ J + form.G[k]"),
    ("S1h", lipschitz, "half_linearised_constants", "eta = eta / 2 +", "eta = 0.25 *"),
    ("S1h", lipschitz, "half_linearised_constants", "form.lipschitz * form.G_norms[k]", "0.0"),
    ("S2", asymptotic, "asymptotic_jacobian", "H @ J + G", "1.1 * H @ J + G"),
    ("S2", asymptotic, "asymptotic_jacobian", "H @ J + G", "H @ J + 1.1 * G"),
    ("S2", asymptotic, "threshold_effect", "root * theta[-1]", "0"),
    ("S2", asymptotic, "threshold_effect", "inner * root * theta[k]", "0"),
    ("S3", ball, "_branches", "np.abs(u) + reach", "np.abs(u)"),
    ("S3", ball, "_branches", "np.abs(u) - reach", "np.abs(u)"),
    ("S3", ball, "_proximal_constant", "spectral_norm(J) + eta)", "spectral_norm(J))"),
    ("S3", ball, "_proximal_constant", "spread = 0.5 *", "spread = 0.25 *"),
    ("S3", ball, "_proximal_constant", "active = ~off", "active = on"),
    ("S3", ball, "_proximal_constant", "L + spectral_norm(G[~off])", "L"),
    ("S3", ball, "_admm_constant", "spectral_norm(D * J) + eta)", "spectral_norm(D * J))"),
    ("S3", ball, "_admm_constant", "spread = spectral_norm(T), spectral", "spread = spectral_norm(T), 0 * spectral"),
    ("S3", ball, "_admm_constant", "np.where(off, -1.0,", "np.where(off, 1.0,"),
    ("S4", region, "linear_region_radius", "/ slopes[slopes > 0]", ""),
    ("S4", region, "linear_region_radius", "np.min(", "np.max("),
    ("S4", region, "linear_region_radius", "- form.theta[:, None])", ")"),
    ("S4", region, "S4", "float(spectral_norm(J))", "0.99 * float(spectral_norm(J))"),
    ("S5", pair, "S5", " | (dx != 0)", ""),
    ("S5", pair, "S5", "+ float(spectral_norm(form.G[k][reached]))", "+ 0"),
    ("S5", pair, "S5", "* L +", "* 0 * L +"),
]


@pytest.mark.long
@pytest.mark.parametrize(("theorem", "module", "name", "old", "new"), MUTATIONS)
def test_a_broken_bound_is_violated(theorem, module, name, old, new, mutate, monkeypatch):
    monkeypatch.setattr(module, name, mutate(getattr(module, name), old, new))
    assert "violated" in statuses(checks()[theorem])


@pytest.mark.parametrize(
    ("theorem", "module"), [("S1", normal_form), ("S1h", lipschitz), ("S3", ball), ("S4", region), ("S5", pair)]
)
def test_a_power_iterated_norm_is_violated(theorem, module, monkeypatch):
    monkeypatch.setattr(module, "spectral_norm", power_iterated)
    if hasattr(module, "restricted_norm"):
        monkeypatch.setattr(module, "restricted_norm", lambda M, r, c: float(power_iterated(M[np.ix_(r, c)])))
    assert "violated" in statuses(checks()[theorem], battery())  # a new one: networks remember their norms
