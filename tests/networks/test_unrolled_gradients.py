"""`Unrolled`: gradients and transformations."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import Unrolled
from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, Algorithm, GradientDescent
from unrollbit.formats import FullPrecision, Normalised, OneBit
from unrollbit.operators import (
    Hadamard,
    gaussian,
    gaussian_blocks,
)
from unrollbit.shrinkage import Soft
from unrollbit.variables import MatrixParam, ScalarParam, ScaleParam

ALGORITHMS: dict[str, Algorithm] = {
    "ista": ISTA(regularisation=0.05),
    "ista classic": ISTA(regularisation=0.05, parametrisation="classic"),
    "ista step": ISTA(regularisation=0.05, parametrisation="step"),
    "fista": FISTA(regularisation=0.05),
    "gradient descent": GradientDescent(),
    "admm": ADMM(regularisation=0.05),
    "amp": AMP(),
    "amp computed": AMP(shrinkage=Soft(), onsager="computed"),
}


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize(
    ("algorithm", "weights", "kinds"),
    [
        ("amp", FullPrecision(), {ScalarParam, MatrixParam}),
        ("ista", Normalised(FullPrecision()), {ScalarParam, MatrixParam}),
        ("ista classic", FullPrecision(), {ScalarParam, MatrixParam}),
        ("admm", OneBit(scale="column", planes=2), {ScalarParam, ScaleParam}),
        ("fista", OneBit(scale="global"), {ScalarParam, ScaleParam}),
    ],
    ids=["amp", "ista normalised", "ista classic", "admm", "fista"],
)
def test_gradients_against_finite_differences(algorithm: str, weights, kinds: set[type], in_float64) -> None:
    """Directional derivatives in float64 along random directions, one kind of parameter at a time.

    Where a scalar sits at a kink (a threshold of a zero estimate) the measure is zero; random data avoid it.
    """
    with jax.enable_x64(True):
        A = gaussian(6, 10, seed=2)
        random = np.random.RandomState(0)
        x = jnp.asarray(random.standard_normal((3, 10)))
        net = in_float64(Unrolled(ALGORITHMS[algorithm], A, 4, weights, distinct=2))
        y = x @ A.dense().T.astype(jnp.float64)

        seen = set()
        for kind in kinds:
            graph, chosen, rest = nnx.split(net, kind, ...)

            @jax.jit
            def loss(chosen, graph=graph, rest=rest):
                return jnp.sum((nnx.merge(graph, chosen, rest)(y, iterates=True) - x) ** 2)

            gradient = jax.grad(loss)(chosen)
            direction = jax.tree.map(lambda a: jnp.asarray(random.standard_normal(a.shape)), chosen)
            moved = [loss(jax.tree.map(lambda a, d, h=h: a + h * d, chosen, direction)) for h in (1e-6, -1e-6)]
            numerical = float(moved[0] - moved[1]) / 2e-6
            analytic = sum(
                float(jnp.sum(g * d)) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True)
            )
            assert abs(analytic) > 1e-6
            assert analytic == pytest.approx(numerical, rel=1e-5)
            seen.add(kind)
        assert seen == kinds


@pytest.mark.parametrize("algorithm", ["ista classic", "fista", "admm", "amp", "amp computed"])
def test_gradients_are_finite_at_zero(algorithm: str, signals) -> None:
    """y = 0, one zero signal in a batch, and residuals that vanish exactly."""
    A = gaussian(8, 16)
    x, y = signals(A, 3)
    net = Unrolled(ALGORITHMS[algorithm], A, 4, OneBit())

    @jax.jit
    def gradient(net, y):
        graph, parameters, rest = nnx.split(net, nnx.Param, ...)
        return jax.grad(lambda p: jnp.sum((nnx.merge(graph, p, rest)(y, iterates=True) - x) ** 2))(parameters)

    for case in (jnp.zeros_like(y), y.at[1].set(0.0)):
        assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradient(net, case)))


def test_gradients_are_finite_through_64_layers() -> None:
    """Exact recovery: the residual and the loss reach rounding long before the last layer."""
    A = Hadamard(32, 64)
    x = jnp.zeros((2, 64)).at[0, 3].set(1.0).at[1, 7].set(-2.0)
    y = A(x)
    net = Unrolled(AMP(), A, 64, OneBit(), distinct=1)

    @jax.jit
    def value(net):
        graph, parameters, rest = nnx.split(net, nnx.Param, ...)

        def loss(p):
            errors = jnp.sum((nnx.merge(graph, p, rest)(y, iterates=True) - x) ** 2, axis=(1, 2))
            return jnp.sum(jnp.log10(errors + 1e-13)), errors[-1]

        return jax.value_and_grad(loss, has_aux=True)(parameters)

    (loss, last), gradient = value(net)
    assert float(last) < 1e-10
    assert bool(jnp.isfinite(loss))
    assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradient))


def test_networks_pass_through_transformations_as_pytrees(signals) -> None:
    A = gaussian(8, 16)
    _, y = signals(A, 4)
    net = Unrolled(AMP(), A, 3, FullPrecision())
    expected = net(y)
    np.testing.assert_allclose(jax.vmap(lambda v: net(v))(y), expected, rtol=1e-4, atol=1e-6)
    mapped = jax.vmap(lambda net, v: net(v), in_axes=(None, 0))(net, y)
    np.testing.assert_allclose(mapped, expected, rtol=1e-4, atol=1e-6)
    doubled = jax.tree.map(lambda a: jnp.stack([a, a]), net)  # two networks as one
    both = jax.vmap(lambda net, v: net(v), in_axes=(0, None))(doubled, y)
    np.testing.assert_allclose(both[1], expected, rtol=1e-4, atol=1e-6)
    gradient = jax.grad(lambda net: jnp.sum(net(y) ** 2))(net)
    assert isinstance(gradient, Unrolled)
    assert jax.tree.structure(gradient) == jax.tree.structure(net)
    assert float(jnp.abs(gradient.maps["W"].variables["values"][...]).max()) > 0
    # the gradient by the measurements
    assert jax.grad(lambda y: jnp.sum(net(y)))(y).shape == y.shape


def test_straight_through_gradient_reaches_the_latents_and_masked_ones_stay_at_zero(signals) -> None:
    A = gaussian_blocks(2, 4, 8)
    _, y = signals(A, 4)
    net = Unrolled(AMP(), A, 3, OneBit())
    gradient = jax.grad(lambda net: jnp.sum(net(y) ** 2))(net).maps["W"].variables["signs"][...]
    assert gradient.shape == (3, 1, 2, 4, 8)
    assert float(jnp.abs(gradient).min(axis=(1, 2, 3, 4)).max()) > 0
