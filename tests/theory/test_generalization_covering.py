"""G2: the gains of the layers, where they are attained; the cover; the comparison with full precision."""

import math

import numpy as np
import pytest

from unrollbit.theory.generalization import (
    G2,
    NetworkClass,
    Protocol,
    covering,
    covering_gap,
    dense_relu_nats,
    loss_lipschitz,
    project,
)
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form
from unrollbit.theory.trajectory import recover

CLASS = {"Y": 2.0, "gamma_max": 0.3, "theta_max": 0.5}


def chain(K, gammas, theta, a=1.5):
    """1 x 1 network with W = -1: every layer expands, as the class allows at worst."""
    A = np.full((1, 1), a)
    return NormalForm.from_arrays("ista", A, -np.ones((1, 1, 1)), gammas, theta)


def members_differ(networks, K, a=1.5, h=1e-7):
    """Derivatives of the output of the chain in every gamma_k and theta_k, over the gains g_k, s_k."""
    y = np.full((1, 1), networks.Y)
    corner, low = np.full(K, networks.gamma_max), np.zeros(K)
    base = recover(chain(K, corner, low, a), y)
    g, s = networks.gains()
    ratios = []
    for k in range(K):
        move = h * np.eye(K)[k]
        ratios.append(np.abs(recover(chain(K, corner - move, low, a), y) - base).item() / (h * g[k]))
        ratios.append(np.abs(recover(chain(K, corner, low + move, a), y) - base).item() / (h * s[k]))
    return np.array(ratios)


@pytest.mark.parametrize("K", [1, 2, 5])
def test_the_gains_are_attained(K):
    networks = NetworkClass.of(chain(K, np.ones(K), np.zeros(K)), **CLASS)
    np.testing.assert_allclose(members_differ(networks, K), 1.0, rtol=1e-5)


def test_the_gains_by_hand():
    networks = NetworkClass.of(chain(2, np.ones(2), np.zeros(2)), **CLASS)
    h = 1 + 0.3 * 1.5
    g, s = networks.gains()
    np.testing.assert_allclose(g, [h * 2.0, 2.0 + 1.5 * 0.6])
    np.testing.assert_allclose(s, [h, 1.0])
    nats = sum(math.log(math.ceil(r * 4 / (2 * 0.01))) for r in (*(0.3 * g), *(0.5 * s)))
    assert networks.one_bit_nats(0.01) == pytest.approx(math.log(2) + nats)
    assert networks.one_bit_nats(1e9) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("h ** np.arange(self.depth - 1, -1, -1.0)", "h ** np.arange(self.depth - 2, -2, -1.0)"),
        ("self.Y + self.norm * np.array(size)", "self.Y + 0 * np.array(size)"),
        ("h * X + self.gamma_max * self.beta * self.Y", "X + self.gamma_max * self.beta * self.Y"),
        ("later * self.beta * (", "0.9 * later * self.beta * ("),
        ("later * math.sqrt(self.n)", "later * math.sqrt(self.n) / 2"),
    ],
)
def test_broken_gains_are_caught(old, new, mutate, monkeypatch):
    monkeypatch.setattr(NetworkClass, "gains", mutate(NetworkClass.gains, old, new))
    networks = NetworkClass.of(chain(5, np.ones(5), np.zeros(5)), **CLASS)
    assert (members_differ(networks, 5) > 1.05).any()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("seed", range(30))
def test_members_of_equal_signs_differ_by_at_most_the_gains(seed, tied):
    random = np.random.RandomState(seed)
    m, n, K = random.randint(2, 9), random.randint(2, 9), random.randint(1, 6)
    start = random_form("ista", seed, m=m, n=n, depth=K, tied=tied, density=0.6)
    signs = np.sign(start.G.swapaxes(1, 2))
    signs = signs[:1] if tied else signs
    networks = NetworkClass.of(start, Y=1.0, gamma_max=0.4, theta_max=0.3)
    y = project(3 * random.randn(50, m), 1.0)
    g, s = networks.gains()
    scalars = [(0.4 * random.rand(K), 0.3 * random.rand(K)) for _ in range(2)]
    first, second = (recover(NormalForm.from_arrays("ista", start.A, signs, *own), y) for own in scalars)
    limit = g @ np.abs(scalars[0][0] - scalars[1][0]) + s @ np.abs(scalars[0][1] - scalars[1][1])
    assert np.linalg.norm(first - second, axis=1).max() <= limit


def farthest(networks, K, eps):
    """Distance of the member in the corner of the class from the centre of its cell, in units of eps."""
    g, s = networks.gains()
    spans = networks.gamma_max * g, networks.theta_max * s
    cells = [networks._cells(1.0, span, eps) for span in spans]
    corner, low = np.full(K, networks.gamma_max), np.zeros(K)
    centre = corner * (1 - 0.5 / cells[0]), low + networks.theta_max * 0.5 / cells[1]
    y = np.full((1, 1), networks.Y)
    return np.abs(recover(chain(K, corner, low), y) - recover(chain(K, *centre), y)).item() / eps


def test_the_grid_is_a_cover_and_no_finer_than_needed(mutate, monkeypatch):
    networks = NetworkClass.of(chain(3, np.ones(3), np.zeros(3)), **CLASS)
    for eps in (1e-1, 1e-2, 1e-4):
        assert 0.5 < farthest(networks, 3, eps) <= 1
    monkeypatch.setattr(NetworkClass, "_ratio", mutate(NetworkClass._ratio, "* 2 * self.depth", "* self.depth"))
    assert farthest(networks, 3, 1e-4) > 1


def test_a_declared_cap_replaces_the_growth():
    form = random_form("ista", 0, depth=4, gain=0.3)
    gammas, cap = form.magnitudes, float(form.H_norms.max())
    limits = {"Y": 1.0, "gamma_max": float(gammas.max()), "theta_max": 0.1}
    free, capped = NetworkClass.of(form, **limits), NetworkClass.of(form, **limits, cap=cap)
    assert capped.growth == cap < free.growth
    assert capped.one_bit_nats(1e-3) < free.one_bit_nats(1e-3)
    assert all(capped.membership(form).values())
    tight = NetworkClass.of(form, **limits, cap=0.9 * cap)
    assert tight.membership(form)["||H_k|| <= cap"] is False


def test_the_published_example():
    limits = {"beta": math.sqrt(64 * 128), "norm": 2.4, "Y": 5.0, "gamma_max": 0.02, "theta_max": 0.3}
    gap = {}
    for name, entries, tied in (("untied", 8192, False), ("tied", 8192, True), ("mask", 1024, False)):
        networks = NetworkClass(10, 128, entries, tied, **limits)
        gap[name] = covering_gap(networks.one_bit_nats, 100_000, lipschitz=1.0)
        assert networks.one_bit_is_smaller(1e-3)
        full = covering_gap(networks.full_precision_nats, 100_000, lipschitz=1.0)
        assert full > gap[name]
        gap[f"full precision {name}"] = full
    assert gap["untied"] == pytest.approx(0.54, abs=0.01)
    assert gap["tied"] == pytest.approx(0.18, abs=0.01)
    assert gap["mask"] == pytest.approx(0.20, abs=0.01)
    assert 2.0 < gap["full precision untied"] < 5
    dense = covering_gap(lambda eps: dense_relu_nats(64, 128, 10, Y=5.0, v=1.5, eps=eps), 100_000, lipschitz=1.0)
    assert 2.5 < dense < 5


def test_dense_relu_by_hand():
    wanted = 6 * math.log(math.ceil(4 * 1.5 * math.sqrt(6) * 2 * 2 / 0.1)) / 1
    first = 6 * math.log(math.ceil(2 * 2 * (2 * math.sqrt(6) * 1.5) * 2 / 0.1))
    second = 9 * math.log(math.ceil(2 * 2 * (3 * 1.5 * 2) * 2 / 0.1))
    assert dense_relu_nats(2, 3, 2, Y=1.5, v=2.0, eps=0.1) == pytest.approx(first + second)
    assert wanted <= first


@pytest.mark.parametrize("eps", [1e-6, 1e-3, 0.1])
def test_one_bit_never_needs_a_larger_cover_where_the_condition_says_so(eps):
    for seed in range(20):
        form = random_form("ista", seed, m=5, n=7, depth=1 + seed % 5, density=0.5)
        networks = NetworkClass.of(form, Y=1.0, gamma_max=0.2, theta_max=0.2)
        if networks.one_bit_is_smaller(eps):
            assert networks.one_bit_nats(eps) <= networks.full_precision_nats(eps)


def instance(seed=0, N=400):
    form = random_form("ista", seed, m=6, n=8, depth=3)
    random = np.random.RandomState(seed)
    y = project(random.randn(N, 6), 1.5)
    limits = {"c": 2.0, "Y": 1.5, "gamma_max": float(form.magnitudes.max()), "theta_max": 0.2, "projected": True}
    return form, 0.4 * random.rand(N), y, limits


def test_g2_and_its_mutation(mutate, monkeypatch):
    form, losses, y, limits = instance()
    report = G2(form, losses, y, **limits, test_risk=0.6)
    assert report.status == "holds"
    networks = NetworkClass.of(form, Y=1.5, gamma_max=limits["gamma_max"], theta_max=0.2)
    L = 2 * math.sqrt(1 / 2)
    by_hand = min(
        2 * L * eps + math.sqrt((networks.one_bit_nats(eps) + math.log(20)) / 800)
        for eps in 10.0 ** np.arange(-6, 0.1, 0.25) / L
    )
    assert report.bound - losses.mean() == pytest.approx(by_hand)
    assert loss_lipschitz(2.0, 3.0) == pytest.approx(2 * math.sqrt(1.5))
    monkeypatch.setattr(
        covering, "covering_gap", mutate(covering_gap, "math.sqrt((nats(r * unit) + log) / (2 * N))", "0")
    )
    assert G2(form, losses, y, **limits, test_risk=0.6).status == "violated"


def test_what_makes_g2_not_applicable():
    form, losses, y, limits = instance()
    changes = [
        ("almost surely", {"projected": False}),
        ("gamma_k <= gamma_max", {"gamma_max": 0.5 * limits["gamma_max"]}),
        ("theta_k <= theta_max", {"theta_max": 1e-3}),
        ("on the training sample", {"Y": 0.5}),
        ("fixed before", {"protocol": Protocol(constant_fixed=False)}),
    ]
    for words, change in changes:
        report = G2(form, losses, y, **limits | change)
        assert report.status == "not applicable"
        assert any(words in phrase for phrase, met in report.assumptions.items() if not met)
    for other in (random_form("gd", 0, m=6, n=8), random_form("ista", 0, m=6, n=8, one_bit=False)):
        assert G2(other, losses, y, **limits).status == "not applicable"
    with pytest.raises(ValueError, match="G2: expected y of shape"):
        G2(form, losses, y[:5], **limits)
    with pytest.raises(ValueError, match="NetworkClass: expected Y, gamma_max > 0"):
        G2(form, losses, y, **limits | {"Y": 0.0})
    with pytest.raises(ValueError, match="covering_gap: expected N >= 1"):
        covering_gap(lambda eps: 1.0, 0, lipschitz=1.0)


def test_projection():
    y = project(np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]]), 1.0)
    np.testing.assert_allclose(y, [[0.6, 0.8], [0.3, 0.4], [0, 0]])
