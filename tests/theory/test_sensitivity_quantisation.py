"""Theorem N6: direct quantisation to one bit, its exact size and what it does to the output."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.sensitivity import N1, N6, N1path, quantisation, quantised
from unrollbit.theory.trajectory import recover

FORMS = ("ista", "gd", "admm")
SHAPES = ((16, 24), (24, 16), (12, 12), (8, 20))


@pytest.fixture(scope="module")
def battery():
    found = defaultdict(list)
    for seed in range(70):
        m, n = SHAPES[seed % 4]
        kinds = {"tied": seed % 3 == 0, "one_bit": seed % 7 == 0, "density": (1.0, 0.5)[seed % 2]}
        for kind in FORMS:
            form = random_form(kind, seed, m=m, n=n, depth=1 + seed % 6, flips=0.5, **kinds)
            found[kind].append(N6(form, sparse_signals(form, seed, 1)[1][0]))
    return found


def test_no_random_network_violates(battery):
    assert sum(map(len, battery.values())) == 210
    for reports in battery.values():
        assert {status for both in reports for status in (both.identity.status, both.output.status)} == {"holds"}


def test_tightness(battery):
    for reports in battery.values():
        tightness = [both.output.tightness for both in reports if both.output.tightness]
        assert 0.15 < np.median(tightness) < 0.75
        assert all(both.identity.tightness is None or both.identity.tightness == 1 for both in reports) or np.allclose(
            [both.identity.tightness for both in reports if both.identity.bound and both.identity.bound > 1e-9], 1
        )


def test_by_hand():
    form = NormalForm.from_arrays("gd", [[1.0, 0.0]], [[[0.5, 0.1]]], [1.0])
    identity, output = N6(form, [1.0])  # lambda* = 0.3: an error of 0.2 in both entries
    assert identity.measured == pytest.approx(0.08 / 0.26)
    assert identity.bound == pytest.approx(0.08 / 0.26)
    np.testing.assert_allclose(quantised(form).G, [[[0.3], [0.3]]])
    assert output.bound == output.measured == pytest.approx(np.sqrt(0.08))
    assert output.theorem == identity.theorem == "N6"
    zero = NormalForm.from_arrays("gd", [[1.0, 0.0]], [[[0.5, 0.0]]], [1.0])
    np.testing.assert_allclose(quantised(zero).G, [[[0.25], [0.25]]])  # sign(0) = +1


def test_gaussian_matrices_lose_sixty_percent():
    V = np.random.RandomState(0).randn(2, 100, 200)
    form = NormalForm.from_arrays("ista", V[0], V, [1e-3, 1e-3])
    identity, _ = N6(form, np.ones(100), np.full(2, 1e-3))
    assert np.sqrt(identity.measured) == pytest.approx(np.sqrt(1 - 2 / np.pi), abs=0.005)


@given(st.integers(0, 10**6), st.sampled_from(FORMS), st.booleans(), st.floats(0.5, 1.5))
@settings(max_examples=40, deadline=None)
def test_no_other_scale_is_better(seed, kind, tied, factor):
    form = random_form(kind, seed, m=5, n=4, depth=3, one_bit=False, tied=tied, density=0.7)
    steps = None if tied else np.array([0.5, 1.0, 2.0])
    V = form.G.swapaxes(1, 2) / (np.ones(3) if tied else steps)[:, None, None]
    hat = quantised(form, steps).G.swapaxes(1, 2) / (np.ones(3) if tied else steps)[:, None, None]
    error = np.square(V - hat).sum(axis=(1, 2))
    other = np.square(V - factor * hat).sum(axis=(1, 2))
    if tied:
        error, other = error[:1], other[:1]
    assert error.sum() <= other.sum() * (1 + 1e-12)
    identity = N6(form, np.ones(5), steps).identity
    size = np.square(V[: len(error)]).sum()
    assert identity.measured == pytest.approx(error.sum() / size, abs=1e-12)
    assert not hat[:, ~form.mask].any()


def test_the_output_is_bounded_by_the_deviation_theorems():
    for kind, bound in (("ista", N1path), ("gd", N1path), ("admm", N1)):
        form = random_form(kind, 0, one_bit=False, flips=0.5)
        y = sparse_signals(form, 0, 1)[1][0]
        other = quantised(form)
        found, wanted = N6(form, y).output, bound(form, other, y)
        assert found.bound == wanted.bound
        assert found.measured == pytest.approx(np.linalg.norm(recover(form, y) - recover(other, y)))


def test_a_tied_network_stays_tied_and_one_bit_stays_what_it_is():
    form = random_form("ista", 0, one_bit=False, tied=True)
    hat = quantised(form)
    ratios = hat.G / hat.G[:1]
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1, :1], ratios.shape))
    steps = np.linalg.norm(form.G, axis=(1, 2)) * 3
    np.testing.assert_allclose(quantised(form, steps).G, hat.G)
    once = random_form("gd", 1, tied=True)
    np.testing.assert_allclose(quantised(once).G, once.G)
    assert N6(once, np.ones(16)).identity.measured == pytest.approx(0, abs=1e-12)


def test_predicates_and_wrong_arguments():
    lista = random_form("lista", 0)
    for report in N6(lista, np.ones(16)):
        assert report.status == "not applicable"
        assert report.assumptions == {"the form is ista, gd or admm": False}
    with pytest.raises(ValueError, match="got 'lista'"):
        quantised(lista)
    form = random_form("ista", 0, tied=True, one_bit=False)
    with pytest.raises(ValueError, match="6 step sizes other than 0"):
        N6(form, np.ones(16), np.ones(5))
    with pytest.raises(ValueError, match="6 step sizes other than 0"):
        N6(form, np.ones(16), np.zeros(6))
    with pytest.raises(ValueError, match="share one matrix"):
        N6(form, np.ones(16), np.ones(6))


def test_a_broken_identity_is_reported(mutate, monkeypatch):
    form = NormalForm.from_arrays("gd", [[1.0, 0.0]], [[[0.5, 0.1]]], [1.0])
    for old, new in (("scale**2", "scale"), ("1 - kept / energy", "1 - kept")):
        assert mutate(N6, old, new)(form, [1.0]).identity.status == "violated"
    wrong = mutate(quantisation._scale, "np.abs(V).sum()", "np.sqrt(np.square(V).sum())")
    monkeypatch.setattr(quantisation, "_scale", wrong)
    assert N6(form, [1.0]).identity.status == "violated"


def test_a_broken_output_bound_is_reported(mutate, monkeypatch):
    form = NormalForm.from_arrays("gd", [[1.0, 0.0]], [[[0.5, 0.1]]], [1.0])
    monkeypatch.setattr(quantisation, "N1path", mutate(N1path, "float(norms(source[now]))", "0.9 * norms(source)"))
    assert N6(form, [1.0]).output.status == "violated"


def test_a_network_of_zeros_loses_nothing():
    form = NormalForm.from_arrays("gd", np.eye(2), np.zeros((2, 2, 2)), np.ones(2))
    identity, output = N6(form, np.ones(2))
    assert identity.status == output.status == "holds"
    assert identity.measured == 0
