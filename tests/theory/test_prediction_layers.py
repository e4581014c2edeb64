"""State evolution against the scalar recursion of AMP, against runs of large matrices, and where it does not hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from unrollbit import AMP, FISTA, ISTA, FullPrecision, Unrolled, load
from unrollbit.algorithms import FirstOrder
from unrollbit.operators import Dense, Hadamard, Rademacher, gaussian, gaussian_blocks, ill_conditioned
from unrollbit.problems import SparseRecovery, register_problem
from unrollbit.shrinkage import BernoulliGaussian, Firm, GroupSoft, Soft
from unrollbit.theory import Settings
from unrollbit.theory.prediction import E1, E2, HeldOut, evolution, predict, spectrum_of, with_sign_errors
from unrollbit.theory.prediction.conditions import DENSE, INDEPENDENT, MULTIPLE, NOISE, SPECTRUM
from unrollbit.theory.prediction.evolution import state_evolution

NETWORKS = "examples/networks"


def sparse(count, seed=0, share=0.1):
    """Bernoulli-Gaussian numbers without sampling error: quantiles in random order."""
    non_zeros = round(share * count)
    values = norm.ppf((np.arange(non_zeros) + 0.5) / non_zeros)
    return np.random.RandomState(seed).permutation(np.concatenate([values, np.zeros(count - non_zeros)]))


def method(K=6, **changes):
    """Soft thresholds with memory and momentum of no special kind."""
    random = np.random.RandomState(1)
    numbers = {
        "momentum": random.uniform(0.0, 0.2, K),
        "extrapolation": random.uniform(0.0, 0.2, K),
        "memory": random.uniform(0.1, 0.4, K),
        "level": 1.0,
    }
    scalars = {"step": random.uniform(0.7, 1.1, K), "threshold": np.linspace(1.6, 1.2, K)}
    return FirstOrder.of(Soft(), scalars, **(numbers | changes))


def simulated(own, m, n, noise=0.0, scale=1.0, factor=1.0, rate=0.0, seed=0):
    """NMSE per layer of one large signal, straight from the equations of a first-order method."""
    random = np.random.RandomState(seed)
    A = random.standard_normal((m, n)) * scale / math.sqrt(m)
    x = sparse(n, seed + 1)
    y = A @ x + math.sqrt(noise) * random.standard_normal(m)
    now = before = np.zeros(n)
    v, b, found = np.zeros(m), 0.0, []
    for t in range(len(own.step)):
        z = now + own.extrapolation[t] * (now - before)
        v = y - A @ z + (b if own.memory is None else own.memory[t]) * v
        W = factor * A * np.where(random.random_sample(A.shape) < rate, -1, 1)
        u = z + own.momentum[t] * (now - before) + own.step[t] * W.T @ v
        tau = 1.0 if own.level is None else np.linalg.norm(v) / math.sqrt(m) / own.level
        threshold = tau * own.scalars["threshold"][t]
        before, now = now, np.sign(u) * np.maximum(np.abs(u) - threshold, 0)
        b = n / m * np.mean(np.abs(u) > threshold)
        found.append(np.sum((now - x) ** 2) / np.sum(x**2))
    return 10 * np.log10(found)


def predicted(own, ratio=0.5, **options):
    return state_evolution(own, sparse(100_000).reshape(100, 1000), ratio=ratio, **options).nmse_db


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "conditions"),
    [
        ({}, {}),
        ({"memory": None, "momentum": 0.0, "extrapolation": 0.0}, {"noise": 1e-3}),
        ({"memory": 0.0}, {"noise": 1e-2}),
        ({"level": 3.0}, {"scale": 3.0, "gains": 1 / 9, "noise": 1e-3}),
        ({"extrapolation": 0.0}, {"flips": 0.05}),
    ],
    ids=["memory and momentum", "Onsager term", "no memory", "scaled", "bit errors"],
)
def test_a_run_of_a_large_matrix_is_predicted(changes, conditions):
    own = method(**changes)
    arguments = {{"gains": "factor", "flips": "rate"}.get(name, name): value for name, value in conditions.items()}
    found = np.mean([simulated(own, 1500, 3000, seed=seed, **arguments) for seed in (0, 7)], axis=0)
    assert np.abs(predicted(own, **conditions) - found).max() < 0.4


def test_amp_follows_the_scalar_recursion():
    """``tau^2 = sigma^2 + (n/m) E (eta(x + tau z) - x)^2``: with the Onsager term and nothing learned."""
    K, ratio, noise = 8, 0.6, 1e-3
    own = FirstOrder.of(Soft(), {"step": np.ones(K), "threshold": np.full(K, 1.4)}, memory=None, level=1.0)
    x, random = sparse(400_000, 3), np.random.RandomState(4)
    tau2, expected = noise + np.mean(x**2) / ratio, []
    for _ in range(K):
        u = x + math.sqrt(tau2) * random.standard_normal(x.shape)
        errors = np.sign(u) * np.maximum(np.abs(u) - 1.4 * math.sqrt(tau2), 0) - x
        expected.append(np.mean(errors**2) / np.mean(x**2))
        tau2 = noise + np.mean(errors**2) / ratio
    found = state_evolution(own, x[:200_000].reshape(100, -1), ratio=ratio, noise=noise)
    np.testing.assert_allclose(found.nmse_db, 10 * np.log10(expected), atol=0.2)


@pytest.fixture(scope="module")
def noisy():
    own, noise = method(5, momentum=0.6, extrapolation=0.5, memory=0.4), 2e-2
    found = np.mean([simulated(own, 2000, 4000, noise, seed=seed) for seed in (0, 7)], axis=0)
    assert np.abs(predicted(own, noise=noise) - found).max() < 0.3
    return own, noise, found


@pytest.fixture(scope="module")
def flipped():
    own, rate = method(4, extrapolation=0.0), 0.1
    found = np.mean([simulated(own, 2000, 4000, rate=rate, seed=seed) for seed in (0, 7)], axis=0)
    assert np.abs(predicted(own, flips=rate) - found).max() < 0.3
    return own, rate, found


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("_residual", "V[t] -= onsager * V[s]", "pass"),
        ("_residual", "V[t] += b * V[t - 1]", "pass"),
        ("layer", "for s in range(t):", "for s in range(0):"),
        ("layer", "ahead * (self.x - self.previous)", "0"),
        ("layer", "momentum * (self.x - self.previous)", "0"),
        ("layer", "(self.q[t] + self.h[t])", "(self.q[t] + self.f[0] - z)"),
        ("_draw", "self.noise * self.E[t] * self.E[s]", "0"),
        ("_draw", "self.aspect *", ""),
    ],
)
def test_a_broken_recursion_is_caught(monkeypatch, mutate, noisy, name, old, new):
    own, noise, found = noisy
    monkeypatch.setattr(evolution._Run, name, mutate(getattr(evolution._Run, name), old, new))
    assert np.abs(predicted(own, noise=noise) - found).max() > 0.6


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(1 - 2 * self.flips)", "1"),
        ("(4 * self.flips * (1 - self.flips))", "(self.flips)"),
        ("(4 * self.flips * (1 - self.flips))", "(0)"),
    ],
)
def test_broken_bit_errors_are_caught(monkeypatch, mutate, flipped, old, new):
    own, rate, found = flipped
    monkeypatch.setattr(evolution._Run, "layer", mutate(evolution._Run.layer, old, new))
    assert np.abs(predicted(own, flips=rate) - found).max() > 0.6


def test_units_do_not_matter():
    one = state_evolution(method(), sparse(10_000).reshape(10, -1), ratio=0.5, noise=1e-3).nmse_db
    other = state_evolution(method(), 1e6 * sparse(10_000).reshape(10, -1), ratio=0.5, noise=1e9).nmse_db
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_is_asked_for_is_checked():
    with pytest.raises(ValueError, match="not separable"):
        state_evolution(FirstOrder.of(GroupSoft(2), dict.fromkeys(("step", "threshold"), np.ones(1))),
                        np.ones((1, 4)), ratio=0.5)  # fmt: skip
    with pytest.raises(ValueError, match="ratio"):
        state_evolution(method(), np.ones((1, 4)), ratio=0.0)
    with pytest.raises(ValueError, match="other than zero"):
        state_evolution(method(), np.zeros((1, 4)), ratio=0.5)
    with pytest.raises(ValueError, match="first-order"):
        predict(Unrolled(ISTA(parametrisation="classic"), gaussian(8, 16), depth=2), np.ones((2, 16)))


@pytest.mark.parametrize("A", [gaussian(128, 256), Rademacher(96, 96), gaussian(64, 96), gaussian_blocks(2, 96, 128)])
def test_independent_entries_are_recognised(A):
    assert all(spectrum_of(A).conditions().values())


@pytest.mark.parametrize(
    ("A", "condition"),
    [
        (Hadamard(128, 256), SPECTRUM),
        (ill_conditioned(128, 256), SPECTRUM),
        (Dense.of(np.abs(np.asarray(gaussian(64, 128).dense()))), SPECTRUM),
        (Dense.of(np.eye(64)), DENSE),
    ],
    ids=["orthogonal rows", "ill-conditioned", "positive", "identity"],
)
def test_other_physics_is_told_by_what_it_is(A, condition):
    assert not spectrum_of(A).conditions()[condition]


def held(net, problem, count=100):
    return HeldOut.of(net, problem, Settings(held_out=count))


@pytest.mark.long
@pytest.mark.parametrize("algorithm", [AMP(onsager="computed"), FISTA(Firm())])
def test_untrained_networks_are_predicted(algorithm):
    problem = SparseRecovery(256, 512, snr_db=30.0)
    report = E1(held(Unrolled(algorithm, problem, 6, FullPrecision()), problem))
    assert report.status == "holds", report


@pytest.mark.long
def test_assumptions_are_told_before_anything_is_compared():
    problem = SparseRecovery(128, 256)
    other = Unrolled(AMP(), problem, 3)  # signs of A
    report = E1(held(other, problem))
    assert (report.status, report.assumptions[MULTIPLE], report.assumptions[SPECTRUM]) == (
        "not applicable",
        False,
        True,
    )
    assert report.bounds is not None  # what the prediction would be is shown all the same
    hadamard = SparseRecovery(128, 256, matrix="hadamard")
    assert not E1(held(Unrolled(AMP(), hadamard, 3, FullPrecision()), hadamard)).assumptions[SPECTRUM]


@register_problem("operator")
class Shaped(SparseRecovery):
    """Signals that are no independent draws, noise that depends on them."""

    def sample(self, key, batch):
        x, y = super().sample(key, batch)
        return x * jnp.linspace(0.2, 2.0, x.shape[1]), 0.9 * y


def test_signals_and_noise_are_looked_at():
    problem = Shaped(64, 128)
    report = E1(held(Unrolled(AMP(), problem, 3, FullPrecision()), problem, 500))
    assert (report.assumptions[INDEPENDENT], report.assumptions[NOISE]) == (False, False)


def test_shared_bit_errors_are_outside():
    """Errors of one stored matrix add up over the layers: worse than those that E2 speaks of."""
    packed = load(f"{NETWORKS}/rademacher-1matrix.safetensors")
    net, problem = packed.trainable(), SparseRecovery(256, 512, matrix="rademacher")
    x, y = problem.split("test").sample(jax.random.key(1), 100)
    last = [np.median(np.sum((np.asarray(with_sign_errors(net, 0.1, 0, shared=shared)(y)) - x) ** 2, axis=1))
            for shared in (False, True)]  # fmt: skip
    assert 10 * math.log10(last[1] / last[0]) > 6


@pytest.mark.slow
@pytest.mark.parametrize("snr_db", [None, 30.0, 20.0, 15.0])
@pytest.mark.parametrize("name", ["rademacher-1matrix", "all-signs"])
def test_networks_of_the_shelf(name, snr_db):
    net = load(f"{NETWORKS}/{name}.safetensors").trainable()
    problem = SparseRecovery(256, 512, snr_db=snr_db, matrix="rademacher" if name[0] == "r" else "gaussian")
    at = held(net, problem, 1000)
    report = E1(at)
    assert report.status == "holds"
    apart = np.subtract(report.bounds, report.measurements)
    assert np.abs(apart[3::4]).max() < 0.5
    if snr_db is None:
        for rate in (1e-3, 1e-2, 0.03):
            found = E2(at, rate)
            assert np.abs(np.subtract(found.bounds, found.measurements)).max() < 1


@pytest.mark.long
def test_the_posterior_mean_is_predicted_under_conditions_never_trained_on():
    net = load(f"{NETWORKS}/rademacher-1matrix.safetensors").trainable()
    problem = SparseRecovery(256, 512, sparsity=0.06, snr_db=20.0, matrix="rademacher")
    report = E1(held(net, problem, 300))
    assert net.first_order is not None
    assert isinstance(net.first_order.shrinkage, BernoulliGaussian)
    assert report.status == "holds"
