"""Bit-counting certificates against values worked by hand, brute force and an exhaustive class."""

import itertools
import math

import numpy as np
import pytest

from unrollbit.theory.generalization import G1, G3a, clipped_losses, code_length, klinv

TIED = 64 * 128 + 32 * 20  # signs of one (64, 128) matrix and 2 K = 20 scalars: 8,832 bits


@pytest.mark.parametrize(("gap", "samples"), [(0.5, 1.2e4), (0.2, 7.7e4)])
def test_g1_needs_the_published_number_of_samples(gap, samples):
    assert TIED == 8832
    N = (TIED * math.log(2) + math.log(20)) / (2 * gap**2)
    assert pytest.approx(samples, rel=0.03) == N
    report = G1(np.zeros(math.ceil(N)), TIED)
    assert report.bound == pytest.approx(gap, rel=1e-3)
    assert report.status == "holds"
    assert not report.vacuous


def test_g3a_is_one_minus_exp_at_zero_risk_and_never_looser_than_pinsker():
    N, bits = 5000, 1000
    c = (bits * math.log(2) + math.log(20)) / N
    assert G3a(np.zeros(N), bits).bound == pytest.approx(1 - math.exp(-c), rel=1e-12)
    losses = np.random.RandomState(0).rand(N) * 0.3
    assert G3a(losses, bits).bound <= G1(losses, bits).bound + 1e-12


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("c", [0.0, 1e-3, 0.1, 2.0])
def test_klinv_against_a_fine_grid(p, c):
    grid = np.linspace(p, 1 - 1e-9, 200_001)
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.where(p > 0, p * np.log(p / np.maximum(grid, 1e-300)), 0.0)
        second = np.where(p < 1, (1 - p) * np.log((1 - p) / (1 - grid)), 0.0)
    inside = grid[(first + second) <= c]
    expected = inside.max() if inside.size else p
    assert klinv(p, c) == pytest.approx(expected, abs=1e-5)


def test_the_flip_code_is_a_prefix_code():
    P = 12
    lengths = [math.log2(P + 1) + math.log2(math.comb(P, f)) for f in range(P + 1)]
    assert sum(math.comb(P, f) * 2 ** -lengths[f] for f in range(P + 1)) == pytest.approx(1.0)
    assert code_length(P, 0, flips=2) == pytest.approx(min(12, lengths[2]) + 1)
    assert code_length(8192, 20, flips=270) < code_length(8192, 20)
    assert code_length(8192, 20, flips=4096) == 8832 + 1  # half flipped: raw signs are cheaper


def test_every_network_of_a_tiny_class_at_once():
    """All 2^8 read-outs of one-bit weights; exact risk on a finite pool; violations at most in a share delta of the
    samples.
    """
    random = np.random.RandomState(0)
    pool_y = random.randn(64, 8)
    pool_x = pool_y @ np.sign(random.randn(8)) / 8
    weights = np.array(list(itertools.product([-1, 1], repeat=8)))
    losses = np.minimum((pool_y @ weights.T / 8 - pool_x[:, None]) ** 2, 1.0)
    risk = losses.mean(0)
    failures = 0
    for _ in range(100):
        rows = random.randint(0, 64, 200)
        bounds = [G3a(losses[rows, h], 8, delta=0.05).bound for h in range(0, 256, 8)]
        failures += bool((risk[::8] > bounds).any())
    assert failures <= 5 + 3 * math.sqrt(5)
    broken = [losses[rows, h].mean() for h in range(256)]  # a bound without its width is caught by the same check
    assert (risk > np.array(broken)).any()


def test_reports_say_violated_and_not_applicable():
    losses = np.full(1000, 0.1)
    assert G1(losses, 10, test_risk=0.9).status == "violated"
    report = G1(losses, 10, test_risk=0.12)
    assert report.status == "holds"
    assert report.tightness == pytest.approx(0.12 / report.bound)
    outside = G1(np.full(10, 1.5), 10)
    assert outside.status == "not applicable"
    assert outside.bound is None
    assert outside.assumptions == {"losses lie in [0, B]": False}
    assert G1(losses, 1e6).vacuous


def test_losses_and_errors():
    x = np.array([[1.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(clipped_losses(np.zeros((2, 2)), x, c=10.0), [0.1, 1.0])
    with pytest.raises(ValueError, match="equal shapes"):
        clipped_losses(np.zeros((2, 3)), x, 1.0)
    with pytest.raises(ValueError, match="klinv"):
        klinv(-0.1, 1.0)
    with pytest.raises(ValueError, match="0 < delta < 1"):
        G1(np.zeros(3), 1, delta=0.0)
