"""What the last layer tells of its error, against the estimates of the layers and the posterior by quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import ADMM, AMP, FISTA, FullyConnected, Unrolled
from unrollbit.networks import sizes
from unrollbit.operators import gaussian
from unrollbit.shrinkage import BernoulliGaussian, Grouped, Soft


@pytest.mark.long
@pytest.mark.parametrize("algorithm", [AMP(), AMP(onsager="computed"), FISTA(), ADMM()])
def test_sizes_are_norms_of_what_layers_show(algorithm):
    A = gaussian(8, 16)
    net = Unrolled(algorithm, A, depth=3)
    y = jnp.asarray(np.random.RandomState(0).standard_normal((4, 8)), jnp.float32)
    step, found = sizes(net, y)
    layers = np.asarray(net(y, iterates=True))
    np.testing.assert_allclose(step.x, layers[-1], atol=1e-5)
    np.testing.assert_allclose(found["change"], np.linalg.norm(layers[-1] - layers[-2], axis=-1), rtol=1e-3)
    np.testing.assert_allclose(found["residual"], np.linalg.norm(y - A(step.x), axis=-1), rtol=1e-4)
    assert ("deviation" in found) == isinstance(algorithm, AMP)


@pytest.mark.long
def test_a_network_of_one_layer_and_one_without_layers_have_sizes():
    y = jnp.ones((2, 8))
    assert sizes(Unrolled(AMP(), gaussian(8, 16), depth=1), y)[1]["change"].shape == (2,)
    assert sorted(sizes(FullyConnected(gaussian(8, 16), depth=3, width=16), y)[1]) == ["measurement", "residual"]


@pytest.mark.parametrize("tau", [0.05, 0.5, 3.0])
def test_the_posterior_variance_is_that_of_the_posterior(tau):
    p, v = 0.2, 2.0
    u = np.linspace(-4, 4, 9)
    grid = np.linspace(-15, 15, 600_001)
    prior = p * np.exp(-(grid**2) / (2 * v)) / np.sqrt(2 * np.pi * v)
    expected = []
    for value in u:
        likelihood = np.exp(-((value - grid) ** 2) / (2 * tau**2))
        weights = prior * likelihood * (grid[1] - grid[0])
        total = weights.sum() + (1 - p) * np.exp(-(value**2) / (2 * tau**2))
        mean = (weights @ grid) / total
        expected.append((weights @ grid**2) / total - mean**2)
    shrink = BernoulliGaussian(sparsity=p, variance=v)
    scalars = {"gain": jnp.array(1.0), "log_odds": jnp.log((1 - p) / p), "noise": jnp.array(1.0)}
    found = shrink.posterior_variance(jnp.asarray(u, jnp.float32), scalars, tau)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-6)
    grouped = Grouped(shrink, groups=(0,) * 4 + (1,) * 5)
    own = {name: jnp.stack([value, value]) for name, value in scalars.items()}
    np.testing.assert_allclose(grouped.posterior_variance(jnp.asarray(u, jnp.float32), own, tau), found, rtol=1e-6)
    with pytest.raises(ValueError, match="no posterior mean"):
        Soft().posterior_variance(jnp.ones(2), {}, 1.0)
