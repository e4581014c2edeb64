"""O1 against estimators that attain it and closed forms; H3 to H5 on networks of every kind."""

import math
from dataclasses import replace

import jax
import numpy as np
import pytest

from unrollbit import AMP, FullPrecision, FullyConnected, Unrolled
from unrollbit.algorithms import ISTA
from unrollbit.operators import gaussian
from unrollbit.problems import SparseRecovery
from unrollbit.shrinkage import BernoulliGaussian
from unrollbit.theory import Settings
from unrollbit.theory.prediction import (
    H3,
    H4,
    H5,
    O1,
    HeldOut,
    O1b,
    bayes_limit,
    genie_bound,
    optimum,
    optimum_db,
    robustness,
)
from unrollbit.theory.prediction.optimum import NOISY, posterior_mean_error


def test_the_genie_is_the_estimator_that_knows_the_support():
    random = np.random.RandomState(0)
    A, share, noise = np.asarray(gaussian(30, 50).dense(), np.float64), 0.2, 0.01
    errors, energy = 0.0, 0.0
    for _ in range(1500):
        support = np.flatnonzero(random.random_sample(50) < share)
        x = random.standard_normal(len(support))
        y = A[:, support] @ x + math.sqrt(noise) * random.standard_normal(30)
        inner = A[:, support].T @ A[:, support] + noise * np.eye(len(support))
        errors += np.sum((np.linalg.solve(inner, A[:, support].T @ y) - x) ** 2)
        energy += np.sum(x**2)
    assert genie_bound(A, share, noise, draws=1500) == pytest.approx(errors / energy, rel=0.05)


@pytest.mark.parametrize(("share", "level"), [(0.1, 0.3), (0.3, 0.01), (1.0, 0.5)])
def test_the_least_error_of_one_unknown(share, level):
    """That of the posterior mean, by sampling."""
    random = np.random.RandomState(1)
    x = random.standard_normal(400_000) * (random.random_sample(400_000) < share)
    u = x + math.sqrt(level) * random.standard_normal(x.shape)
    dense = [math.exp(0) * np.exp(-(u**2) / (2 * v)) / math.sqrt(v) for v in (1 + level, level)]
    q = share * dense[0] / (share * dense[0] + (1 - share) * dense[1])
    assert posterior_mean_error(share, 1.0, level) == pytest.approx(np.mean((q * u / (1 + level) - x) ** 2), rel=0.02)


def test_the_limit_is_where_the_recursion_stands_still():
    limit = bayes_limit(0.1, 0.5, 0.002)
    assert limit.nmse == pytest.approx(limit.attained, rel=1e-6)  # one fixed point
    tau2 = 0.002 + limit.nmse * 0.1 / 0.5
    assert posterior_mean_error(0.1, 1.0, tau2) / 0.1 == pytest.approx(limit.nmse, rel=1e-5)
    scaled = bayes_limit(0.1, 0.5, 9 * 0.002, scale=3.0)
    assert scaled.nmse == pytest.approx(limit.nmse, rel=1e-6)
    hard = bayes_limit(0.3, 0.4, 1e-6)  # between the two: what no fast algorithm is known to reach
    assert hard.nmse < hard.attained / 100
    for wrong in ((0.0, 0.5, 0.1), (0.1, 0.5, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            bayes_limit(*wrong)


@pytest.fixture(scope="module")
def held():
    problem = SparseRecovery(128, 256, snr_db=20.0)
    exact = AMP(BernoulliGaussian(noise=1.0), onsager="computed", momentum=False)
    return HeldOut.of(Unrolled(exact, problem, 12, FullPrecision()), problem, Settings(held_out=300))


@pytest.mark.long
def test_untrained_amp_is_close_to_the_limit_and_not_below(held):
    genie, limit = O1(held), O1b(held)
    assert (genie.status, limit.status) == ("holds", "holds")
    assert genie.bound < limit.bound < limit.measured + 1 < limit.bound + 3
    assert optimum_db(held.problem, held.x, held.y).keys() == {"genie bound", "Bayes limit"}


def test_a_bound_that_is_too_high_is_violated(held, monkeypatch):
    true = genie_bound
    monkeypatch.setattr(optimum, "genie_bound", lambda *a, **o: 10 * true(*a, **o))
    assert O1(held).status == "violated"


def test_without_noise_or_a_law_nothing_is_said(held):
    silent = SparseRecovery(32, 64)
    at = HeldOut.of(Unrolled(AMP(), silent, 2), silent, Settings(held_out=50))
    assert O1(at).assumptions[NOISY] is False
    assert O1b(at).status == "not applicable"
    assert optimum_db(silent, at.x, at.y) == {}


SMALL = SparseRecovery(16, 24, snr_db=30.0)


@pytest.mark.long
@pytest.mark.parametrize(
    "net",
    [Unrolled(AMP(), SMALL, 4), Unrolled(ISTA(parametrisation="classic"), SMALL, 3), FullyConnected(SMALL, 3, 24)],
    ids=["AMP", "LISTA", "fully connected"],
)
def test_every_network_has_limits(net):
    at = HeldOut.of(net, SMALL, Settings(held_out=320, radius=0.01))
    assert (H3(at).status, H3(at).vacuous) == ("holds", False)
    assert H4(at).status == "holds"
    assert H5(at).status == ("holds" if net.estimates_per_layer else "not applicable")


@pytest.mark.long
@pytest.mark.parametrize("theorem", [H3, H4, H5])
def test_a_limit_that_is_too_low_is_violated(theorem, monkeypatch):
    at = HeldOut.of(Unrolled(AMP(), SMALL, 3), SMALL, Settings(held_out=320, radius=0.01))
    monkeypatch.setattr(robustness, "tolerance_limit", lambda values, share, confidence: float(np.median(values)))
    assert theorem(at).status == "violated"


@pytest.mark.long
def test_the_amplification_of_a_linear_network_is_that_of_its_matrix():
    from unrollbit.algorithms import GradientDescent

    problem = SparseRecovery(24, 16, sparsity=1.0, snr_db=20.0)
    net = Unrolled(GradientDescent(), problem, 3, FullPrecision())
    at = HeldOut.of(net, problem, Settings(held_out=320))
    matrix = np.asarray(jax.jacobian(net)(np.zeros(24, np.float32)))
    assert H3(at).bound <= np.linalg.norm(matrix, 2) * 1.01
    assert H3(at).bound >= np.linalg.norm(matrix) / math.sqrt(24)
    other = H3(replace(at, settings=replace(at.settings, radius=0.1)))
    assert other.bound == pytest.approx(H3(at).bound, rel=1e-2)
