"""Every theorem says the same of the same network in other units: volts or microvolts, physics in counts."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from unrollbit.theory import audit, report
from unrollbit.theory.convergence import c1_schedule, noise_bound
from unrollbit.theory.generalization import G2, clipped_losses, project
from unrollbit.theory.instances import Instance
from unrollbit.theory.normal_form import NormalForm
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.registry import theorems
from unrollbit.theory.trajectory import recover

SETTINGS = audit.Settings(attacked=1, radius=0.02, rate=0.05)
POWERS = (1e-12, 1e-6, 1e6, 1e12)


def scheduled(form, x, e, classical):
    """Thresholds for which C1 (C1b: ``classical``) holds."""
    nu = noise_bound(form, float(np.linalg.norm(e, axis=1).max()))
    size = np.abs(x).sum(1).max() if classical else np.abs(x).max()
    return replace(form, theta=c1_schedule(form, 1, float(size), nu, classical=classical))


@cache
def instances():
    """Networks of every form and one for every theorem with hypotheses of its own; two signals each."""
    forms = [random_form(kind, 1, m=6, n=8, depth=3, flips=0.3) for kind in ("ista", "lista", "admm")]
    forms += [random_form("gd", 1, m=10, n=6, depth=3, one_bit=False, flips=0.3)]
    forms += [random_form("gd", 2, m=12, n=5, depth=3, tied=True, flips=0.02)]
    forms += [random_form("admm", 3, m=10, n=6, depth=3, one_bit=False)]
    drawn = [(form, *sparse_signals(form, 0, 2, sparsity=2, noise=0.01)) for form in forms]
    near = random_form("ista", 4, m=60, n=6, depth=3, flips=0.02)
    x, y, e = sparse_signals(near, 0, 2, sparsity=1, noise=0.001)
    drawn += [(scheduled(near, x, e, classical), x, y, e) for classical in (False, True)]
    return [(form, x, y) for form, x, y, _ in drawn]


def in_units(form: NormalForm, x, y, signal=1.0, physics=1.0):
    """The same network, signals and measurements with x in units of ``1 / signal``, A in those of ``1 / physics``."""
    both = signal * physics
    return replace(form, A=form.A * physics, G=form.G / physics, theta=form.theta * signal), x * signal, y * both


def reports(signal=1.0, physics=1.0):
    return [
        report
        for form, x, y in instances()
        for report in audit.deterministic(*in_units(form, x, y, signal, physics), SETTINGS)
    ]


@pytest.fixture(scope="module")
def plain():
    return reports()


def test_the_battery_compares_every_theorem_about_a_network(plain):
    compared = {each.theorem for each in plain if each.status == "holds" and each.tightness and each.tightness > 0.02}
    wanted = {name for name, each in theorems().items() if issubclass(each.on, Instance)}  # others draw signals
    assert compared == wanted - {"C6"}  # of a matrix that is known to be Gaussian


@pytest.mark.parametrize("signal", [2.0**-40, *POWERS])
def test_status_and_tightness_do_not_depend_on_the_unit_of_the_signals(plain, signal):
    same(plain, reports(signal=signal))


@pytest.mark.parametrize("physics", [2.0**-40, *POWERS])
def test_status_and_tightness_do_not_depend_on_the_unit_of_the_physics(plain, physics):
    same(plain, reports(physics=physics))


def same(plain, scaled):
    assert [each.theorem for each in scaled] == [each.theorem for each in plain]
    for first, second in zip(plain, scaled, strict=True):
        assert (second.status, second.vacuous) == (first.status, first.vacuous), first.theorem
        assert second.assumptions == first.assumptions
        if first.tightness is None:
            assert second.tightness is None
        else:  # identities leave a rounding error, which has no size of its own; ascent may stop at another step
            assert second.tightness == pytest.approx(first.tightness, rel=0.02, abs=1e-9), first.theorem


@pytest.mark.parametrize("signal", [1.0, *POWERS])
def test_a_bound_divided_by_a_hundred_is_violated_in_all_units(plain, signal, monkeypatch):
    true = report.exceeds
    monkeypatch.setattr(report, "exceeds", lambda value, limit, size=0.0: true(value, limit / 100, size))
    for first, second in zip(plain, reports(signal=signal), strict=True):
        if first.status == "holds" and first.tightness is not None and first.tightness > 0.02:
            assert second.status == "violated", (first.theorem, first.tightness)


@pytest.mark.parametrize("signal", POWERS)
def test_certificates_do_not_depend_on_the_unit_of_the_signals(signal):
    form = random_form("ista", 0, m=6, n=8, depth=3)
    x, y, _ = sparse_signals(form, 0, 300, noise=0.01)

    def certified(form, x, y, unit):
        near, c = project(y, 2.0 * unit), 3.0 * unit**2
        limits = {"c": c, "Y": 2.0 * unit, "gamma_max": float(form.magnitudes.max()), "theta_max": 0.2 * unit}
        losses = clipped_losses(recover(form, near), x, c)
        return G2(form, losses, near, **limits, projected=True, test_losses=losses)

    first, second = certified(form, x, y, 1.0), certified(*in_units(form, x, y, signal), signal)
    assert (second.status, second.assumptions) == (first.status, first.assumptions)
    assert first.status == "holds"
    assert (second.bound, second.measured) == (pytest.approx(first.bound), pytest.approx(first.measured))
