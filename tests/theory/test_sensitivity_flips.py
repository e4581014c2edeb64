"""Theorems N2, N2u, N3: sign flips by hand, by brute force over all placements, at random, and with broken bounds."""

from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.sensitivity import (
    N2,
    N3,
    N2u,
    flip_deviations,
    flipped,
    flips_between,
    greedy_flips,
    random_bit_errors,
    random_flips,
)
from unrollbit.theory.trajectory import recover

FORMS = ("ista", "gd", "admm")
SHAPES = ((16, 24), (24, 16), (12, 12), (8, 20))


def networks(count):
    for seed in range(count):
        m, n = SHAPES[seed % 4]
        kinds = {"tied": seed % 3 == 0, "density": (1.0, 0.5)[seed % 2], "gain": (1.0, 0.5, 2.0)[seed % 3]}
        for kind in FORMS:
            form = random_form(kind, seed, m=m, n=n, depth=1 + seed % 7, **kinds)
            yield seed, form, sparse_signals(form, seed, 1, noise=0.01)[1][0]


def attacked(form, y, count):
    flips = [random_flips(form, count, seed) for seed in range(4)] + greedy_flips(form, y, count)
    return [flipped(form, each) for each in flips]


def one_layer(kind, W, gain=0.5, A=None, theta=None):
    W = np.asarray(W, float)
    return NormalForm.from_arrays(kind, W if A is None else A, W[None], [gain], theta)


@pytest.fixture(scope="module")
def battery():
    found = defaultdict(list)
    for seed, form, y in networks(70):
        count = (1, 2, 5)[seed % 3]
        perturbed = attacked(form, y, count)
        found["N2u"].append(N2u(form, y, count, perturbed))
        found["N2"] += [N2(form, perturbed[0]), N2(form, perturbed[-1]), N2(form, perturbed[4])]
        if not form.tied:
            rate = (0.01, 0.05, 0.2)[seed % 3]
            deviations = flip_deviations(form, y, random_bit_errors(form, rate, 300, seed))
            found["N3", form.form].append(N3(form, y, rate, deviations))
    return found


@pytest.mark.long
def test_no_random_network_violates(battery):
    assert len(battery["N2u"]) == 210
    assert len(battery["N2"]) == 630
    for reports in battery.values():
        assert {report.status for report in reports} == {"holds"}


@pytest.mark.long
def test_tightness(battery):
    assert np.median([report.tightness for report in battery["N2"]]) > 0.95
    overall = [report.tightness for kind in FORMS for report in battery["N3", kind]]
    assert 0.2 < np.median(overall) < 0.7
    assert 0.4 < np.median([report.tightness for report in battery["N3", "gd"]]) < 0.95
    single = []
    for seed in range(30):
        form = random_form(FORMS[seed % 3], seed, depth=1, threshold=0.01)
        y = sparse_signals(form, seed, 1)[1][0]
        single.append(N2u(form, y, 1, attacked(form, y, 1)).tightness)
    assert 0.8 < np.median(single) <= 1
    assert max(single) == pytest.approx(1.0)


@given(st.integers(0, 10**6), st.sampled_from((*FORMS, "lista")), st.integers(1, 4), st.integers(1, 7), st.booleans())
@settings(max_examples=60, deadline=None)
def test_flips_of_small_networks(seed, kind, depth, m, tied):
    form = random_form(kind, seed, m=m, n=5, depth=depth, density=0.6, tied=tied)
    count = 1 + seed % min(3, form.mask.sum())
    y = np.random.RandomState(seed).randn(m)
    for flips in (random_flips(form, count, seed), *greedy_flips(form, y, count)):
        assert flips.shape == (1 if form.tied else depth, m, 5)
        assert (flips.sum(axis=(1, 2)) == count).all()
        assert not flips[:, ~form.mask].any()
        other = flipped(form, flips)
        np.testing.assert_array_equal(flips_between(form, other), np.broadcast_to(flips, (depth, m, 5)))
        np.testing.assert_allclose(other.G, form.G * np.where(flips, -1, 1).swapaxes(1, 2))
        np.testing.assert_array_equal(flipped(other, flips).G, form.G)
        assert N2(form, other).status == "holds"
        wanted = "not applicable" if kind == "lista" else "holds"
        assert N2u(form, y, count, [other]).status == wanted


def test_every_placement_of_two_flips():
    for kind in FORMS:
        form = random_form(kind, 2, m=4, n=3, depth=2, density=0.8, tied=True)
        y = np.random.RandomState(1).randn(4)
        places = np.argwhere(form.mask)
        perturbed = []
        for pair in combinations(places, 2):
            flips = np.zeros((1, 4, 3), bool)
            flips[(0, *np.transpose(pair))] = True
            perturbed.append(flipped(form, flips))
        report = N2u(form, y, 2, perturbed)
        assert report.status == "holds"
        found = N2u(form, y, 2, [flipped(form, each) for each in greedy_flips(form, y, 2)])
        assert 0.6 * report.measured < found.measured <= report.measured * (1 + 1e-12)
        assert report.measured == max(np.linalg.norm(recover(each, y) - recover(form, y)) for each in perturbed)


def test_size_of_flips_by_hand():
    form = one_layer("gd", np.ones((2, 3)), gain=0.25)
    row = flipped(form, np.array([[[True, True, True], [False, False, False]]]))
    report = N2(form, row)  # three flips in a row: 2 x 0.25 x sqrt(3)
    assert report.bound == pytest.approx(0.5 * np.sqrt(3))
    assert report.tightness == pytest.approx(1.0)
    diagonal = N2(form, flipped(form, np.eye(2, 3, dtype=bool)[None]))  # one in each row and column
    assert diagonal.bound == pytest.approx(0.5)
    assert diagonal.measured == pytest.approx(0.5)
    assert N2(form, form).tightness is None
    assert not report.vacuous


def test_one_flip_by_hand():
    form = one_layer("gd", [[1.0], [1.0]], gain=0.5)
    y = [3.0, 1.0]  # x = 2; without the first sign -1
    report = N2u(form, y, 1, [flipped(form, np.array([[[True], [False]]]))])
    assert report.bound == report.measured == pytest.approx(3.0)
    assert report.vacuous
    # two flips: Phi_2 = sqrt(2) max(3, 4 / sqrt(2)) = 3 sqrt(2) where they may lie in different columns
    assert N2u(form, y, 2, []).bound == pytest.approx(3 * np.sqrt(2))
    assert N2u(form, y, 2, []).measured is None
    assert N2u(form, [1.0, 1.0], 2, []).bound == pytest.approx(2.0)
    # two layers, exact at one unknown: D_1 = 0.2 x 1, r_1 = 0.9, D_2 = (0.9 + 0.2) x 0.2 + 0.2 x 0.9
    deep = NormalForm.from_arrays("gd", [[1.0]], [[[1.0]]], [0.1, 0.1])
    both = N2u(deep, [1.0], 1, [flipped(deep, np.ones((1, 1, 1), bool))])
    assert both.bounds == pytest.approx((0.2, 0.4))
    assert both.tightness == pytest.approx(1.0)


def test_one_layer_of_gradient_descent_attains_the_mean_square():
    form = random_form("gd", 1, m=10, n=6, depth=1, density=0.7)
    y = np.random.RandomState(0).randn(10)
    for rate in (0.02, 0.3, 1.0):
        # by hand: every entry is -2 gamma y_i with probability p
        gamma, G = form.magnitudes[0], form.G[0]
        variance = 4 * gamma**2 * rate * (1 - rate) * ((form.mask * y[:, None]) ** 2).sum()
        exact = np.sqrt(variance + (2 * rate) ** 2 * np.square(G @ y).sum())
        deviations = flip_deviations(form, y, random_bit_errors(form, rate, 4000, 0))
        report = N3(form, y, rate, deviations)
        assert report.bound == pytest.approx(exact)
        assert report.tightness == pytest.approx(1.0, abs=0.05)
        assert report.status == "holds"


@pytest.mark.parametrize("kind", [*FORMS, "lista"])
@pytest.mark.parametrize("tied", [True, False])
def test_draws_in_one_pass_are_those_of_the_flipped_networks(kind, tied):
    form = random_form(kind, 5, tied=tied, density=0.5)
    y = np.random.RandomState(0).randn(16)
    flips = random_bit_errors(form, 0.1, 6, 1)
    assert flips.shape == (6, 1 if tied else 6, 16, 24)
    found = flip_deviations(form, y, flips)
    wanted = [np.linalg.norm(recover(flipped(form, each), y) - recover(form, y)) for each in flips]
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_bit_errors_have_their_rate_and_spare_masked_entries():
    form = random_form("ista", 0, density=0.3)
    flips = random_bit_errors(form, 0.1, 200, 0)
    assert not flips[:, :, ~form.mask].any()
    assert flips[:, :, form.mask].mean() == pytest.approx(0.1, abs=0.005)
    np.testing.assert_array_equal(flips, random_bit_errors(form, 0.1, 200, 0))
    assert random_bit_errors(form, 1.0, 1, 0)[:, :, form.mask].all()
    np.testing.assert_array_equal(random_flips(form, 3, 7), random_flips(form, 3, 7))


def test_greedy_flips_beat_random_ones():
    gains = []
    for seed in range(12):
        form = random_form(FORMS[seed % 3], seed, m=24, n=16, depth=4)
        y = sparse_signals(form, seed, 1)[1][0]
        chance, greedy = (
            N2u(form, y, 4, [flipped(form, each) for each in chosen]).measured
            for chosen in ([random_flips(form, 4, s) for s in range(16)], greedy_flips(form, y, 4))
        )
        gains.append(greedy / chance)
    assert np.median(gains) > 1.5


def test_predicates():
    y, zeros = np.ones(16), np.zeros(200)
    tied = N3(random_form("gd", 0, tied=True), y, 0.1, zeros)
    assert tied.status == "not applicable"
    assert tied.assumptions["every layer has signs of its own (untied)"] is False
    assert N3(random_form("gd", 0, depth=1, tied=True), y, 0.1, zeros).status == "holds"
    for kind, one_bit, words in (
        ("lista", True, "the form is ista, gd or admm"),
        ("ista", False, "the entries of a layer have one magnitude"),
    ):
        form = random_form(kind, 0, one_bit=one_bit)
        for report in (N3(form, y, 0.1, zeros), N2u(form, y, 1, [form]), N2u(form, y, 1, [])):
            assert report.status == "not applicable"
            assert report.assumptions[words] is False
    full = random_form("ista", 0, one_bit=False)
    assert N2(full, flipped(full, random_flips(full, 2, 0))).status == "not applicable"


def test_wrong_arguments_are_named():
    form, y = random_form("ista", 0, density=0.5), np.ones(16)
    with pytest.raises(ValueError, match="at least 1 flip, got 0"):
        N2u(form, y, 0, [])
    with pytest.raises(ValueError, match="at most 1 flips in a layer, got one with 2"):
        N2u(form, y, 1, [flipped(form, random_flips(form, 2, 0))])
    with pytest.raises(ValueError, match="differs otherwise"):
        N2(form, random_form("ista", 0, density=0.5, threshold=0.1))
    with pytest.raises(ValueError, match="form and shape"):
        N2(form, random_form("gd", 0))
    with pytest.raises(ValueError, match=r"y: expected shape \(16,\), got \(2, 16\)"):
        N2u(form, np.ones((2, 16)), 1, [])
    for rate in (-0.1, 1.5, np.nan):
        with pytest.raises(ValueError, match=r"bit-error rate in \[0, 1\]"):
            N3(form, y, rate, np.zeros(200))
        with pytest.raises(ValueError, match=r"bit-error rate in \[0, 1\]"):
            random_bit_errors(form, rate, 1, 0)
    for deviations in (np.zeros(199), np.zeros((2, 200)), np.full(200, -1.0)):
        with pytest.raises(ValueError, match="at least 200 finite numbers >= 0"):
            N3(form, y, 0.1, deviations)
    with pytest.raises(ValueError, match=r"booleans of shape \(6, 16, 24\)"):
        flipped(form, np.zeros((1, 16, 24), bool))
    with pytest.raises(ValueError, match="outside the mask"):
        flipped(form, np.ones((6, 16, 24), bool))
    with pytest.raises(ValueError, match="expected 0 to"):
        random_flips(form, 1000, 0)
    with pytest.raises(ValueError, match="expected 0 to"):
        greedy_flips(form, y, -1)
    with pytest.raises(ValueError, match=r"flips: expected shape \('draws', 6, 16, 24\)"):
        flip_deviations(form, y, np.zeros((6, 16, 24), bool))
