"""Bit-counting certificates against values worked by hand and each other; what makes them not applicable."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.generalization import (
    G0,
    G1,
    G4,
    G3a,
    G3b,
    G3c,
    Protocol,
    clipped_losses,
    clopper_pearson,
    dominance_margin,
    flip_divergence,
    half_width,
    hoeffding_samples,
    kl,
    klinv,
    measured_gap,
    part_losses,
)

TIED = 64 * 128 + 32 * 20  # signs of one (64, 128) matrix and 2 K = 20 scalars: 8,832 bits


@pytest.mark.parametrize(
    ("bits", "gap", "samples"),
    [
        (TIED, 0.5, 1.2e4),
        (TIED, 0.2, 7.7e4),
        (82_560, 0.5, 1.1e5),
        (82_560, 0.2, 7.2e5),
        (17_408, 0.5, 2.4e4),
        (17_408, 0.2, 1.5e5),
        (263_168, 0.5, 3.6e5),
        (263_168, 0.2, 2.3e6),
    ],
)
def test_g1_needs_the_published_number_of_samples(bits, gap, samples):
    assert TIED == 8832
    N = math.ceil((bits * math.log(2) + math.log(20)) / (2 * gap**2))
    assert pytest.approx(samples, rel=0.05) == N
    report = G1(np.zeros(N), bits)
    assert report.bound == pytest.approx(gap, rel=1e-3)
    assert report.status == "not measured"
    assert G1(np.zeros(N), bits, test_risk=0.9 * gap).status == "holds"
    assert not report.vacuous


@pytest.mark.parametrize(
    ("bits", "risk", "gap", "samples"),
    [
        (TIED, 0.01, 0.5, 9.3e3),
        (TIED, 0.01, 0.2, 3.2e4),
        (4947, 0.004, 0.2, 1.6e4),
        (2356, 0.008, 0.2, 8.2e3),
        (82_560, 0.01, 0.2, 3.0e5),
    ],
)
def test_g3a_needs_the_published_number_of_samples(bits, risk, gap, samples):
    N = round(samples)
    assert G3a(np.full(N, risk), bits).bound - risk == pytest.approx(gap, rel=0.03)


def test_the_published_best_trained_example():
    losses = np.full(50_000, 0.0075)
    assert G3a(losses, 2356).bound == pytest.approx(0.054, abs=1e-3)
    assert G3a(losses, TIED).bound == pytest.approx(0.142, abs=1e-3)
    assert G3a(losses, 32 * (8192 + 20)).bound == pytest.approx(0.976, abs=1e-3)


def test_g3a_is_one_minus_exp_at_zero_risk_and_never_looser_than_pinsker():
    N, bits = 5000, 1000
    c = (bits * math.log(2) + math.log(20)) / N
    assert G3a(np.zeros(N), bits).bound == pytest.approx(1 - math.exp(-c), rel=1e-12)
    losses = np.random.RandomState(0).rand(N) * 0.3
    assert G3a(losses, bits).bound <= G1(losses, bits).bound + 1e-12


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(2, 3000), st.floats(0, 5000), st.floats(1e-4, 0.5), st.floats(0.1, 5))
def test_certificates_are_ordered_and_scale_with_the_clip(risk, N, bits, delta, B):
    losses = np.full(N, risk * B)
    occam, kl_bound = (G(losses, bits, delta=delta, B=B).bound for G in (G1, G3a))
    assert risk * B * (1 - 1e-9) <= kl_bound <= min(occam, B) + 1e-9 * B
    assert kl_bound == pytest.approx(B * G3a(losses / B, bits, delta=delta).bound, rel=1e-6, abs=1e-9)
    assert G1(losses, bits + 1, delta=delta, B=B).bound > occam


def test_g3b_by_hand():
    losses = np.array([0.0, 1.0] * 50)
    V, length = 100 * 0.25 / 99, 7 * math.log(2) + math.log(40)
    by_hand = 0.5 + math.sqrt(2 * V * length / 100) + 7 * length / 297
    assert G3b(losses, 7).bound == pytest.approx(by_hand, rel=1e-12)
    assert G3b(np.zeros(1), 7).assumptions["N >= 2"] is False
    assert G3b(np.zeros(1), 7).status == "not applicable"


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
    assert kl(p, klinv(p, c)) >= c - 1e-12 or klinv(p, c) == 1.0


def test_kl_at_its_limits():
    assert kl(0.5, 0.5) == 0
    assert kl(0.3, 0.0) == kl(0.3, 1.0) == math.inf
    assert kl(0.0, 0.25) == pytest.approx(-math.log(0.75))


def test_gibbs_divergence_by_hand():
    assert flip_divergence([12], [4], 0, 0.0, 0.5) == pytest.approx(12 * math.log(2) + math.log(8))
    by_hand = 8 * kl(0.1, 0.25) + 4 * kl(0.9, 0.25) + 32 * 3 * math.log(2) + math.log(8)
    assert flip_divergence([6, 6], [1, 3], 3, 0.1, 0.25) == pytest.approx(by_hand)
    up = klinv(0.2, math.log(2 * 3 / 0.05) / 400)
    divergence = min(flip_divergence([100], [5], 2, 0.02, 2.0**-j) for j in range(1, 9))
    bound = klinv(up, (divergence + math.log(4 * math.sqrt(5000) / 0.05)) / 5000)
    report = G3c(np.full(400, 0.2), [100], [5], 2, N=5000, q=0.02, tried=3)
    assert report.bound == pytest.approx(bound, rel=1e-12)
    assert G3c(np.full(400, 0.2), [100], [5], 2, N=7, q=0.02).assumptions["N >= 8"] is False


def test_dominance_compares_certificates(mutate):
    random = np.random.RandomState(0)
    losses = random.rand(200_000) * 0.1
    margin = dominance_margin(TIED, 32 * 8212, 200_000)
    for worse in (-0.01, 0.0, 0.5 * margin, 0.99 * margin):
        fitted = np.clip(losses + worse, 0, 1)
        report = G4(fitted, TIED, losses, 32 * 8212, test_losses=fitted[::2])
        assert report.status == "holds"
        assert report.measured == pytest.approx(fitted[::2].mean())
        assert report.bound == G1(losses, 32 * 8212).bound
        assert G4(fitted, TIED, losses, 32 * 8212).status == "not measured"
        assert G4(fitted, TIED, losses, 32 * 8212, test_risk=1.01 * report.bound).status == "violated"
        broken = mutate(G4, "occam_width(b, N,", "occam_width(bits, N,")
        found = broken(fitted, TIED, losses, 32 * 8212).status
        assert found == ("violated" if worse > 0 else "not measured")
    scaled = G4(losses + 1.01 * margin, TIED, losses, 32 * 8212, B=2.0)
    assert scaled.status == "not measured"  # the margin scales with B
    assert G4(np.clip(losses + margin + 0.01, 0, 1), TIED, losses, 32 * 8212).status == "not applicable"
    assert G4(losses, TIED, losses, TIED).assumptions["it has fewer bits"] is False
    fast = G4(losses, TIED, losses, 32 * 8212, variant="kl")
    assert (fast.bound, fast.status) == (G3a(losses, 32 * 8212).bound, "not measured")
    assert G4(losses + 0.01, TIED, losses, 32 * 8212, variant="kl").status == "not applicable"


def test_a_violation_allows_for_the_error_of_the_test_sample():
    losses, test = np.full(1000, 0.1), np.tile([0.2, 0.4], 50)
    bound, error = G1(losses, 10).bound, half_width(test)
    assert test.mean() - error < bound < test.mean()
    report = G1(losses, 10, test_losses=test)
    assert report.status == "holds"
    assert report.measured == pytest.approx(0.3)
    assert report.tightness == pytest.approx(0.3 / bound)
    assert G1(losses, 10, test_risk=0.3).status == "violated"
    assert G1(losses, 10, test_losses=np.tile(test, 100)).status == "violated"


@pytest.mark.parametrize("G", [G1, G3a, G3b])
def test_what_makes_a_certificate_not_applicable(G):
    losses, test = np.full(1000, 0.1), np.full(1000, 0.1)
    assert G(losses, 10, test_losses=test).status == "holds"
    for field in ("iid", "constant_fixed", "code_fixed", "decoded", "fresh_test"):
        report = G(losses, 10, test_losses=test, protocol=Protocol(**{field: False}))
        assert report.status == "not applicable"
        assert report.bound is None
        assert report.measured == pytest.approx(0.1)
        assert sum(not met for met in report.assumptions.values()) == 1
    assert G(losses, 10, protocol=Protocol(fresh_test=False)).status == "not measured"  # without a test sample
    outside = G(np.full(1000, 1.5), 10)
    assert [words for words, met in outside.assumptions.items() if not met] == ["losses lie in [0, B]"]
    assert G(losses, 10, test_losses=np.full(9, 2.0)).assumptions["test losses lie in [0, B]"] is False
    assert G(losses, 1e6).vacuous
    with pytest.raises(ValueError, match="got both"):
        G(losses, 10, test_losses=test, test_risk=0.1)
    with pytest.raises(ValueError, match="0 < delta < 1"):
        G(losses, 10, delta=0.0)
    with pytest.raises(ValueError, match="bits >= 0"):
        G(losses, -1)
    with pytest.raises(ValueError, match=r"expected losses \(N,\)"):
        G(np.zeros((3, 2)), 10)


def test_the_measured_gap_and_its_interval():
    assert hoeffding_samples(0.01) == 18445
    assert hoeffding_samples(0.02, B=2.0) == 18445
    test = np.array([0.0, 1.0] * 5000)
    log = math.log(80)
    width = math.sqrt(2 * (2500 / 9999) * log / 10_000) + 7 * log / (3 * 9999)
    found = measured_gap(np.full(10, 0.25), test)
    assert found.half_width == pytest.approx(width, rel=1e-12)
    assert found.gap == pytest.approx(0.25)
    assert found.interval == pytest.approx((0.25 - width, 0.25 + width))
    assert G0(test, risk=0.5).measured == 0
    assert (G0(test).measured, G0(test).status) == (None, "not measured")
    assert G0(test, risk=0.5).status == "holds"
    assert G0(test, risk=0.9).status == "violated"
    assert G0(test, risk=0.5, protocol=Protocol(fresh_test=False)).status == "not applicable"
    assert G0(np.zeros(1)).status == "not applicable"


def test_clopper_pearson_by_hand():
    assert clopper_pearson(0, 100) == (0.0, pytest.approx(1 - 0.05 ** (1 / 100)))
    assert clopper_pearson(100, 100) == (pytest.approx(0.05 ** (1 / 100)), 1.0)
    low, high = clopper_pearson(1, 2)
    assert low == pytest.approx(1 - math.sqrt(0.95))  # P(at least 1 of 2) = 5 %
    assert high == pytest.approx(math.sqrt(0.95))


def test_losses():
    x = np.array([[1.0, 0.0], [3.0, 4.0]])
    np.testing.assert_array_equal(clipped_losses(np.zeros((2, 2)), x, c=10.0), [0.1, 1.0])
    np.testing.assert_array_equal(part_losses(np.zeros((2, 2)), x, [[0], [1]], [10.0, 20.0]), [[0.1, 0], [0.9, 0.8]])
    np.testing.assert_array_equal(part_losses(np.zeros((2, 2)), x, [range(2)], 10.0)[:, 0], [0.1, 1.0])


def test_errors():
    with pytest.raises(ValueError, match="equal shapes"):
        clipped_losses(np.zeros((2, 3)), np.zeros((2, 2)), 1.0)
    with pytest.raises(ValueError, match="c, B > 0"):
        clipped_losses(np.zeros((2, 2)), np.zeros((2, 2)), 0.0)
    with pytest.raises(ValueError, match="one constant for each of 2"):
        part_losses(np.zeros((2, 2)), np.zeros((2, 2)), [[0], [1]], [1.0])
    with pytest.raises(ValueError, match="klinv"):
        klinv(-0.1, 1.0)
    with pytest.raises(ValueError, match="kl: expected probabilities"):
        kl(0.1, 1.1)
    with pytest.raises(ValueError, match="at least 2 values"):
        half_width(np.zeros(1))
    with pytest.raises(ValueError, match="0 < level < 1"):
        G0(np.zeros(3), level=1.0)
    with pytest.raises(ValueError, match="hoeffding_samples"):
        hoeffding_samples(0.0)
    with pytest.raises(ValueError, match="0 <= count <= trials"):
        clopper_pearson(3, 2)
    with pytest.raises(ValueError, match="0 <= flips <= entries"):
        flip_divergence([3], [4], 0, 0.1, 0.5)
    with pytest.raises(ValueError, match="p0 in"):
        flip_divergence([3], [1], 0, 0.1, 0.3)
    with pytest.raises(ValueError, match="0 <= q <= 1"):
        G3c(np.zeros(3), [3], [1], 0, N=10, q=1.5)
    with pytest.raises(ValueError, match="G4: expected 3 losses"):
        G4(np.zeros(3), 1, np.zeros(4), 2)
