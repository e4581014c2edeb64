"""The attack finds clearly more than random draws do, and what is to be found where that is known."""

from dataclasses import replace

import numpy as np
import pytest

from unrollbit.theory.numerics import norms, soft
from unrollbit.theory.random_forms import random_form, sparse_signals
from unrollbit.theory.stability import adversarial, linear_region_radius
from unrollbit.theory.stability.attack import _ascent
from unrollbit.theory.stability.differences import quotients
from unrollbit.theory.trajectory import jacobians, recover


def network(kind, seed, **options):
    form = random_form(kind, seed, flips=0.2, threshold=0.02, **options)
    return form, sparse_signals(form, seed, 1, noise=0.05)[1][0]


def random_draws(form, y, radius, count=300):
    a = np.random.RandomState(9).randn(count, len(y))
    return radius * a / norms(a)[:, None]


def best(form, y, a):
    return quotients(form, y, y + a)[-1].max()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["ista", "gd", "lista", "admm"])
@pytest.mark.parametrize("radius", [0.01, 1.0])
def test_it_finds_clearly_more_than_random_draws(kind, radius):
    ratios = []
    for seed in range(8):
        form, y = network(kind, seed, m=32, n=48)
        a = adversarial(form, y, radius, steps=20, starts=6)
        assert a.shape == (6, 32)
        assert (norms(a) <= radius * (1 + 1e-12)).all()
        gains = quotients(form, y, y + a)[-1]
        assert (np.diff(gains) <= 1e-9).all()  # the best first
        ratios.append(gains[0] / best(form, y, random_draws(form, y, radius)))
    assert min(ratios) > 0.999
    assert np.median(ratios) > 1.2


def test_it_finds_the_top_singular_vector_of_linear_networks_from_a_random_start():
    form, y = network("gd", 1)
    exact = np.linalg.norm(jacobians(form, y)[-1], 2)
    assert best(form, y, adversarial(form, y, 1.0, steps=1, starts=1)) == pytest.approx(exact)
    found = quotients(form, y, y + adversarial(form, y, 1.0, steps=400, starts=7))[-1]
    np.testing.assert_allclose(found, exact, rtol=1e-6)


@pytest.mark.parametrize("kind", ["ista", "lista", "admm"])
def test_it_finds_the_exact_constant_of_the_linear_region(kind):
    form, y = network(kind, 4)
    a = adversarial(form, y, 0.999 * linear_region_radius(form, y), steps=2, starts=2)
    assert best(form, y, a) == pytest.approx(np.linalg.norm(jacobians(form, y)[-1], 2))


@pytest.mark.parametrize("kind", ["ista", "gd", "lista", "admm"])
def test_the_ascent_direction_is_the_transposed_jacobian(kind):
    form, y = network(kind, 2)
    a = random_draws(form, y, 1.0, 5)
    wanted = [jacobians(form, y + one)[-1].T @ (recover(form, y + one) - recover(form, y)) for one in a]
    np.testing.assert_allclose(_ascent(form, y, a), wanted, atol=1e-12)


def test_other_shrinkages_climb_without_derivatives():
    ratios = []
    for seed in range(6):
        form, y = network("ista", seed)
        opaque = replace(form, shrink=lambda u, k, form=form: soft(u, float(form.theta[k])))
        a = adversarial(opaque, y, 0.5, steps=40, starts=4)
        assert (norms(a) <= 0.5 * (1 + 1e-12)).all()
        ratios.append(best(form, y, a) / best(form, y, random_draws(form, y, 0.5)))
        known = best(form, y, adversarial(form, y, 0.5, steps=40, starts=4))
        assert best(form, y, a) > 0.6 * known
    assert np.median(ratios) > 1.1


def test_it_is_reproducible_and_copes_with_a_network_that_is_silent():
    form, y = network("ista", 0)
    np.testing.assert_array_equal(adversarial(form, y, 0.1, seed=3), adversarial(form, y, 0.1, seed=3))
    silent = replace(form, theta=np.full(6, 1e6))
    a = adversarial(silent, y, 0.1, steps=3)
    assert np.isfinite(a).all()
    assert best(silent, y, a) == 0


def test_wrong_arguments_are_refused():
    form, y = network("ista", 0)
    with pytest.raises(ValueError, match=r"adversarial: expected measurements \(16,\), got shape \(2, 16\)"):
        adversarial(form, np.ones((2, 16)), 1.0)
    for radius, steps, starts in ((0.0, 1, 1), (np.inf, 1, 1), (1.0, 0, 1), (1.0, 1, 0)):
        with pytest.raises(ValueError, match="expected radius > 0, steps >= 1, starts >= 1"):
            adversarial(form, y, radius, steps=steps, starts=starts)
