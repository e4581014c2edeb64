"""Classes small enough to enumerate: exact risk on a finite pool, all networks at once.

A bound fails on a sample if it fails for any network of the class. Failures in more than a share delta of the samples
(by the Clopper-Pearson limit) are an error, and broken bounds must be found so.
"""

import itertools
import math

import numpy as np
import pytest

from unrollbit.theory.generalization import (
    G0,
    G1,
    G5,
    G3a,
    G3b,
    G3c,
    clipped_losses,
    clopper_pearson,
    equal_parts,
    occam,
    part_losses,
    receptive,
)
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.trajectory import recover

DELTA = 0.05


def all_signs(count):
    return np.array(list(itertools.product([1.0, -1.0], repeat=count)))


@pytest.fixture(scope="module")
def networks():
    """Losses (2^12, 400) of all tied one-bit ISTA networks of a 3 x 4 physics on a pool of pairs."""
    random = np.random.RandomState(0)
    A = random.randn(3, 4)
    x = random.randn(400, 4) * (random.rand(400, 4) < 0.4)
    y = x @ A.T + 0.05 * random.randn(400, 3)
    W = all_signs(12).reshape(-1, 3, 4)
    estimates = np.zeros((len(W), 400, 4))
    for _ in range(4):
        u = estimates + 0.12 * (y - estimates @ A.T) @ W
        estimates = np.sign(u) * np.maximum(np.abs(u) - 0.02, 0)
    form = NormalForm.from_arrays("ista", A, W[:1], np.full(4, 0.12), np.full(4, 0.02))
    np.testing.assert_allclose(recover(form, y), estimates[0], atol=1e-12)
    c = 4 * 0.4
    losses = np.minimum(((estimates - x) ** 2).sum(-1) / c, 1)
    np.testing.assert_allclose(losses[5], clipped_losses(estimates[5], x, c))
    return losses


@pytest.fixture(scope="module")
def coins():
    """0/1 losses (2^12, 2000) of all read-outs sign(v^T y) for labels that are coins: gaps as large as they get."""
    random = np.random.RandomState(1)
    y, labels = random.randn(2000, 12), random.rand(2000) < 0.5
    return ((all_signs(12) @ y.T >= 0) != labels).astype(float)


def samples(losses, N, count, seed):
    """Rows of ``count`` training samples with replacement, and the training risks (networks, count)."""
    rows = np.random.RandomState(seed).randint(0, losses.shape[1], (count, N))
    counts = np.stack([np.bincount(row, minlength=losses.shape[1]) for row in rows])
    return rows, losses @ counts.T / N


def divergence(p, q):
    """kl(p || q) of arrays."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(p > 0, p * np.log(p / q), 0.0)
        return first + np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - q)), 0.0)


def worst(name, losses, risk, train, rows):
    """The network of the class on which the bound named is hardest pressed in one sample."""
    if name == "G3a":
        return int(np.argmax(np.where(risk > train, divergence(train, risk), -1.0)))
    if name == "G3b":
        N, counts = len(rows), np.bincount(rows, minlength=losses.shape[1])
        V = np.maximum((losses**2) @ counts - N * train**2, 0) / (N - 1)
        return int(np.argmax(risk - train - np.sqrt(2 * V * (12 * math.log(2) + math.log(2 / DELTA)) / N)))
    return int(np.argmax(risk - train))


def failures(bound, name, losses, N, count, seed=0):
    """In how many samples the bound is violated by any network, and the largest gap / width."""
    risk = losses.mean(axis=1)
    rows, train = samples(losses, N, count, seed)
    failed, pressed = 0, 0.0
    for sample, risks in zip(rows, train.T, strict=True):
        network = worst(name, losses, risk, risks, sample)
        report = bound(losses[network, sample], 12, delta=DELTA, test_risk=float(risk[network]))
        failed += report.status == "violated"
        pressed = max(pressed, (risk[network] - risks[network]) / (report.bound - risks[network]))
    return failed, pressed


BOUNDS = {"G1": G1, "G3a": G3a, "G3b": G3b}


@pytest.mark.parametrize("N", [30, 200, 2000])
@pytest.mark.parametrize("name", BOUNDS)
def test_all_4096_networks_at_once(name, N, networks):
    trials = 300 if name != "G3b" else 30
    failed, pressed = failures(BOUNDS[name], name, networks, N, trials)
    assert clopper_pearson(failed, trials)[0] <= DELTA
    assert failed == 0
    assert 0.05 < pressed < 1


@pytest.mark.parametrize("N", [30, 200])
@pytest.mark.parametrize("name", BOUNDS)
def test_all_4096_read_outs_of_coins_at_once(name, N, coins):
    trials = 200 if name != "G3b" else 30
    failed, pressed = failures(BOUNDS[name], name, coins, N, trials)
    assert clopper_pearson(failed, trials)[0] <= DELTA
    assert pressed > (0.6 if name != "G3b" else 0.2)


@pytest.mark.parametrize(
    ("name", "function", "old", "new", "N"),
    [
        ("G1", occam.occam_width, "bits * math.log(2) + ", "", 200),
        ("G1", occam.occam_width, "(2 * N)", "(4 * N)", 200),
        ("G3a", G3a, "bits * math.log(2) + ", "", 200),
        ("G3a", G3a, "/ len(values)", "/ (2 * len(values))", 200),
        ("G3b", G3b, "bits * math.log(2) + ", "", 2000),
        ("G3b", G3b, "math.sqrt(2 * V * length / N)", "math.sqrt(V * length / N) / 2", 2000),
    ],
)
def test_broken_bounds_are_caught(name, function, old, new, N, coins, mutate, monkeypatch):
    broken, bound = mutate(function, old, new), BOUNDS[name]
    if function is bound:
        bound = broken
    else:
        monkeypatch.setattr(occam, function.__name__, broken)
    failed, _ = failures(bound, name, coins, N, 30)
    assert clopper_pearson(failed, 30)[0] > DELTA


def test_the_interval_of_the_measured_risk(networks, mutate):
    risk = networks.mean(axis=1)
    random = np.random.RandomState(3)
    broken = mutate(G0, "half_width(values, B=B, level=level)", "half_width(values, B=B, level=level) / 5")
    for check, caught in ((G0, False), (broken, True)):
        failed = 0
        for _ in range(300):
            network = random.randint(len(networks))
            test = networks[network, random.randint(0, 400, 500)]
            failed += check(test, level=DELTA, risk=float(risk[network])).status == "violated"
        assert (clopper_pearson(failed, 300)[0] > DELTA) == caught


def gibbs_failures(bound, losses, trials, q=0.0):
    """The read-out of the largest gap in each sample; its Gibbs risk from draws made afterwards (q = 0: itself)."""
    risk = losses.mean(axis=1)
    rows, train = samples(losses, 400, trials, 5)
    random, failed = np.random.RandomState(6), 0
    signs = all_signs(12)
    flips = (signs < 0).sum(axis=1)  # from a reference of +1
    code = 1 << np.arange(11, -1, -1)
    for sample, risks in zip(rows, train.T, strict=True):
        network = int(np.argmax(risk - risks))
        drawn = random.rand(20_000, 12) < q
        members = (((signs[network] < 0) != drawn) * code).sum(axis=1)
        draws = losses[members, sample[random.randint(0, len(sample), len(members))]]
        probability = np.prod(np.where(signs == signs[network], 1 - q, q), axis=1)
        report = bound(
            draws, [12], [int(flips[network])], 0, N=400, q=q, delta=DELTA, test_risk=float(probability @ risk)
        )
        failed += report.status == "violated"
    return failed


def test_gibbs_networks(coins, mutate):
    for q in (0.0, 0.1):
        assert clopper_pearson(gibbs_failures(G3c, coins, 60, q), 60)[0] <= DELTA
    broken = mutate(G3c, "(divergence + math.log(4 * math.sqrt(N) / delta))", "math.log(1 / delta)")
    assert clopper_pearson(gibbs_failures(broken, coins, 30), 30)[0] > DELTA


def parts_experiment(bound, variant, trials, N=300):
    """Two blocks of 10 signs: part p is sign(w_p^T y_p), and all 2^20 networks factor into 2^10 for each part."""
    random = np.random.RandomState(2)
    mask = np.kron(np.eye(2, dtype=bool), np.ones((10, 1), bool))
    form = NormalForm.from_arrays("gd", mask * 1.0, mask[None] * 1.0, np.ones(1), mask=mask)
    v = all_signs(10)
    y, labels = random.randn(2, 4000, 10), random.rand(2, 4000) < 0.5
    losses = np.stack([((v @ y[p].T >= 0) != labels[p]).astype(float) for p in range(2)])
    risk, failed = losses.mean(axis=2), 0
    width = math.sqrt((10 * math.log(2) + math.log(2 / DELTA)) / (2 * N))
    for _ in range(trials):
        rows = random.randint(0, 4000, N)
        train = losses[:, :, rows].mean(axis=2)
        slack = risk - train - width  # the sum over parts is largest where each is
        if variant == "kl":
            slack = np.where(risk > train, divergence(train, risk), -1.0)
        found = slack.argmax(axis=1)
        chosen = np.stack([losses[p, found[p]][rows] for p in range(2)], axis=1)
        exact = float(np.mean([risk[p, found[p]] for p in range(2)]))
        report = bound(form, chosen, [[0], [1]], variant=variant, scalars=0, delta=DELTA, test_risk=exact)
        failed += report.status == "violated"
    return failed


@pytest.mark.parametrize("variant", ["occam", "kl"])
def test_parts_at_once(variant, mutate):
    assert clopper_pearson(parts_experiment(G5, variant, 60), 60)[0] <= DELTA
    old, new = ("delta=delta / P, B=B) for b in bits", "delta=delta / P, B=B) for b in bits[:1]")
    if variant == "kl":
        old, new = "klinv(risk, length / N)", "klinv(risk, length / (2 * N))"
    assert clopper_pearson(parts_experiment(mutate(G5, old, new), variant, 30), 30)[0] > DELTA


@pytest.mark.parametrize("variant", ["occam", "kl"])
def test_parts_that_do_not_pay_are_caught(variant, monkeypatch):
    monkeypatch.setattr(receptive, "part_bits", lambda form, parts, scalars, width: [0] * len(parts))
    assert clopper_pearson(parts_experiment(G5, variant, 30), 30)[0] > DELTA


def test_one_part_is_g1_and_g3a(networks):
    form = NormalForm.from_arrays("ista", np.ones((3, 4)), np.ones((1, 3, 4)), np.ones(4), np.ones(4))
    losses = networks[7, :200]
    for variant, bound in (("occam", G1), ("kl", G3a)):
        found = G5(form, losses[:, None], [range(4)], variant=variant, scalars=2)
        assert found.bound == pytest.approx(bound(losses, 12 + 64).bound, rel=1e-12)
    estimates = np.random.RandomState(0).randn(9, 4)
    halves = part_losses(estimates, np.zeros((9, 4)), equal_parts(4, 2), 3.0, B=9.0)
    whole = clipped_losses(estimates, np.zeros((9, 4)), 3.0, B=99.0)
    assert (halves <= 9.0).all()
    assert (halves.sum(axis=1) <= whole + 1e-12).all()
