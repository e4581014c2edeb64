"""G6: Cover's count and the gap of one-bit read-outs against linear programs and enumeration."""

import math

import numpy as np
import pytest

from unrollbit.theory.generalization import (
    G6,
    clopper_pearson,
    cover_probability,
    kl,
    largest_one_bit_gap,
    one_bit_gap,
    separable,
    separation,
)


def sample(seed, N, m):
    random = np.random.RandomState(seed)
    return random.randn(N, m), random.rand(N) < 0.5


def test_the_published_example():
    assert 1 - cover_probability(384, 256) == pytest.approx(2e-11, rel=0.5)
    assert one_bit_gap(384, 256) == pytest.approx(0.441, abs=5e-4)
    assert cover_probability(461, 256) == pytest.approx(0.992, abs=1e-3)
    assert one_bit_gap(461, 256) == pytest.approx(0.411, abs=1e-3)


def test_cover_by_counting():
    """C(N, m) = 2 sum_{k < m} C(N-1, k) of 2^N labellings."""
    for N, m in ((1, 1), (5, 2), (9, 4), (12, 12), (20, 8)):
        count = 2 * sum(math.comb(N - 1, k) for k in range(m))
        assert cover_probability(N, m) == pytest.approx(count / 2**N)


@pytest.mark.parametrize(("N", "m"), [(14, 8), (17, 8), (24, 10)])
def test_linear_programs_are_feasible_as_often_as_cover_says(N, m, mutate):
    trials = 250
    feasible = sum(separable(*sample(seed, N, m)) for seed in range(trials))
    low, high = clopper_pearson(feasible, trials, level=1e-3)
    assert low <= cover_probability(N, m) <= high
    broken = mutate(cover_probability, "bdtr(m - 1", "bdtr(m")
    if m == 8:
        assert not low <= broken(N, m) <= high


def test_separable_by_hand():
    y = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert separable(y, np.array([True, True, True]))
    assert not separable(y, np.array([True, True, False]))


@pytest.mark.parametrize(("N", "m"), [(12, 8), (40, 8), (30, 10), (100, 10)])
def test_all_one_bit_read_outs(N, m, mutate):
    trials = 200
    reports = [G6(*sample(seed, N, m)) for seed in range(trials)]
    violated = sum(report.status == "violated" for report in reports)
    assert clopper_pearson(violated, trials)[0] <= 0.05
    if m + math.log2(20) < N:
        assert np.median([report.tightness for report in reports]) > 0.55
        broken = mutate(one_bit_gap, "m * math.log(2) + ", "")
        assert sum(report.measured > broken(N, m) for report in reports) > trials / 2
    else:
        assert all(report.vacuous for report in reports)


def test_g6_reports_a_broken_bound(mutate, monkeypatch):
    monkeypatch.setattr(separation, "one_bit_gap", mutate(one_bit_gap, "m * math.log(2) + ", ""))
    assert G6(*sample(0, 40, 8)).status == "violated"


def test_enumeration_by_hand_and_in_pieces():
    y, labels = sample(0, 9, 3)
    v = np.array([[a, b, c] for a in (1, -1) for b in (1, -1) for c in (1, -1)], float)
    errors = ((v @ y.T >= 0) != labels).mean(axis=1)
    assert largest_one_bit_gap(y, labels) == pytest.approx(0.5 - errors.min())
    y, labels = sample(1, 30, 13)  # more than one piece
    assert 0.5 - largest_one_bit_gap(y, labels) <= ((y.sum(axis=1) >= 0) != labels).mean()
    assert largest_one_bit_gap(np.ones((2, 2)), np.array([True, True])) == 0.5
    assert largest_one_bit_gap(np.zeros((2, 2)), np.array([False, False])) == -0.5  # sign(0) = +1


def test_the_gap_at_its_limits():
    assert one_bit_gap(10, 10) == 0.5
    g = one_bit_gap(1000, 20)
    assert kl(0.5 - g, 0.5) == pytest.approx((20 * math.log(2) + math.log(20)) / 1000)
    assert one_bit_gap(1000, 20, delta=0.01) > g


def test_not_applicable_and_errors():
    y, labels = sample(0, 20, 4)
    assert G6(y, labels, coins=False).status == "not applicable"
    with pytest.raises(ValueError, match="N boolean labels"):
        G6(y, labels * 1.0)
    with pytest.raises(ValueError, match="N boolean labels"):
        separable(y, labels[:3])
    with pytest.raises(ValueError, match="m <= 20"):
        largest_one_bit_gap(np.ones((2, 21)), np.array([True, True]))
    with pytest.raises(ValueError, match="cover_probability"):
        cover_probability(0, 1)
    with pytest.raises(ValueError, match="one_bit_gap"):
        one_bit_gap(1, 1, delta=1.0)
