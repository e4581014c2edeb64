"""Penalties: values against NumPy, gradients against finite differences."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import ADMM, ISTA, GradientDescent, Unrolled
from unrollbit.formats import FullPrecision, Normalised, OneBit
from unrollbit.operators import BlockDiagonal, LinearOperator, Rademacher, gaussian
from unrollbit.training import Contraction, FlipPenalty, Penalty, SupportContraction
from unrollbit.training.penalties import largest_singular_value
from unrollbit.variables import BinaryParam

TALL, WIDE = gaussian(16, 8), gaussian(8, 16)
KEY = jax.random.key(0)
ALGORITHMS = [GradientDescent(), ISTA(), ISTA(parametrisation="classic"), ADMM()]


def network(algorithm=None, A: LinearOperator = TALL, depth: int = 3, weights=FullPrecision(), **options) -> Unrolled:
    """With matrices and scalars away from their start, where singular values repeat."""
    net = Unrolled(algorithm or ISTA(), A, depth, weights, **options)
    parameters = nnx.state(net, nnx.Param)
    leaves, tree = jax.tree.flatten(parameters)
    keys = jax.random.split(KEY, len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    nnx.update(net, jax.tree.unflatten(tree, moved))
    return net


def signals(n: int, depth: int = 3, batch: int = 5) -> tuple[jax.Array, jax.Array]:
    """Sparse x (batch, n) and estimates (depth, batch, n) with zeros of their own."""
    keys = jax.random.split(KEY, 4)
    x = jax.random.normal(keys[0], (batch, n)) * (jax.random.uniform(keys[1], (batch, n)) < 0.3)
    shape = (depth, batch, n)
    return jax.random.normal(keys[2], shape) * (jax.random.uniform(keys[3], shape) < 0.4), x


def contraction_by_hand(net: Unrolled, weight: float, limit: float) -> float:
    total, A = 0.0, np.asarray(net.operator.dense(), np.float64)
    for k in range(net.depth):
        H, G = (np.asarray(part[k], np.float64) for part in net.linear_parts())
        matrix = np.eye(A.shape[1]) - 2 * G @ A if net.algorithm.form == "admm" else H
        total += max(0.0, np.linalg.svd(matrix, compute_uv=False)[0] - limit) ** 2
    return weight * total


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=str)
def test_contraction_by_svd(algorithm) -> None:
    net = network(algorithm)
    estimates, x = signals(8)
    norms = [contraction_by_hand(net, 1.0, limit) for limit in (1e-6, 0.8)]
    assert norms[0] > norms[1] > 0
    for penalty in (Contraction(), Contraction(2.5, 0.3), Contraction(1.0, 1e3)):
        expected = contraction_by_hand(net, penalty.weight, penalty.limit)
        assert float(penalty(net, estimates, x)) == pytest.approx(expected, rel=2e-5, abs=1e-7)
        assert float(penalty(net, estimates[-1:], x)) == pytest.approx(expected, rel=2e-5, abs=1e-7)


PROJECTED = GradientDescent(ISTA().shrinkage)  # a shrinkage makes it the form of ISTA


@pytest.mark.long
@pytest.mark.grid(1)
@pytest.mark.parametrize("algorithm", [ISTA(), ISTA(parametrisation="classic"), PROJECTED], ids=str)
def test_support_contraction_by_svd(algorithm) -> None:
    net = network(algorithm, WIDE)
    estimates, x = signals(16)
    penalty = SupportContraction(weight=3.0, limit=0.4, outside=0.1, signals=2)
    H = np.asarray(net.linear_parts()[0], np.float64)
    truth, found = np.asarray(x) != 0, np.asarray(estimates)
    expected = 0.0
    for b in range(2):
        before = truth[b]
        for k in range(3):
            after = truth[b] | (found[k, b] != 0)
            expected += 3.0 / 2 * max(0.0, np.linalg.svd(H[k][np.ix_(after, before)], compute_uv=False)[0] - 0.4) ** 2
            before = after
    assert expected > 1.0
    outside = 0.1 * sum(np.abs(found[:, b][:, ~truth[b]]).sum() for b in range(5)) / 5
    assert float(penalty(net, estimates, x)) == pytest.approx(expected + outside, rel=2e-5)
    # the first layers alone, as in a stage that grows the network
    shallow = float(penalty(net, estimates[:1], x) - penalty(network(algorithm, WIDE, 1), estimates[:1] * 0, x * 0))
    assert 0 < shallow < expected + outside
    assert float(SupportContraction(signals=1, outside=0.0)(net, estimates * 0, x * 0)) == 0.0


def test_flip_penalty_by_hand() -> None:
    A = BlockDiagonal(jnp.array([[[1.0, -2.0], [0.0, 3.0]], [[-1.0, -1.0], [2.0, 2.0]]]))  # signs + - / + +, - - / + +
    latents = jnp.array([[[0.5, 2.0], [-3.0, -0.25]], [[-1.0, -1.0], [4.0, -1.5]]])
    net = Unrolled(ISTA(), A, 2, distinct=1)
    net.maps["W"].variables["signs"][...] = latents[None, None]
    x = jnp.zeros((1, 4))
    assert float(FlipPenalty(4.0)(net, x[None], x)) == pytest.approx(4.0 * (2.0 + 3.0 + 0.25 + 1.5) / 8)
    untied = Unrolled(ISTA(), A, 2, Normalised(OneBit()))
    assert float(FlipPenalty()(untied, x[None], x)) == 0.0
    untied.maps["W"].leaf.variables["signs"][...] = jnp.stack([latents, -latents])[:, None]
    assert float(FlipPenalty(2.0)(untied, x[None], x)) == pytest.approx(2.0 * float(jnp.abs(latents).sum()) / 16)


@pytest.mark.parametrize("operator", [Rademacher(8, 16), gaussian(8, 16)], ids=lambda A: type(A).__name__)
def test_signs_of_the_physics_cost_nothing_and_a_flip_its_latent(operator: LinearOperator) -> None:
    net, x = Unrolled(ADMM(), operator, 3), jnp.zeros((1, 16))
    latents = net.maps["W"].variables["signs"]
    latents[...] = jnp.where(operator.dense() >= 0, 1.0, -1.0)[None, None] * jnp.ones((3, 1, 1, 1))
    assert float(FlipPenalty()(net, x[None], x)) == 0.0
    latents[...] = latents[...].at[1, 0, 2, 3].multiply(-0.5)
    assert float(FlipPenalty(384.0)(net, x[None], x)) == pytest.approx(0.5)


CASES = [
    (Contraction(10.0, 0.3), GradientDescent(), TALL),
    (Contraction(10.0, 0.3), ISTA(), TALL),
    (Contraction(10.0, 0.3), ISTA(parametrisation="classic"), WIDE),
    (Contraction(10.0, 0.3), ADMM(), TALL),
    (SupportContraction(10.0, 0.3), ISTA(), WIDE),
    (SupportContraction(10.0, 0.3), ISTA(parametrisation="classic"), WIDE),
]


NAMES = [f"{type(penalty).__name__}-{algorithm}-{A.shape}" for penalty, algorithm, A in CASES]


@pytest.mark.long
@pytest.mark.grid(2)
@pytest.mark.parametrize(("penalty", "algorithm", "A"), CASES, ids=NAMES)
def test_gradients_by_finite_differences(penalty: Penalty, algorithm, A: LinearOperator) -> None:
    """Along random directions in all parameters of the network, in float64."""
    graph, parameters, rest = nnx.split(network(algorithm, A), nnx.Param, ...)
    estimates, x = signals(A.shape[1])
    with jax.enable_x64(True):
        parameters, rest = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (parameters, rest))
        estimates, x = jnp.asarray(estimates, jnp.float64), jnp.asarray(x, jnp.float64)

        def value(state):
            net = nnx.merge(graph, state, rest)
            net.linear_parts = partial(Unrolled.linear_parts, net, jnp.float64)
            return penalty(net, estimates, x)

        gradient = jax.grad(value)(parameters)
        for seed in range(3):
            key = jax.random.key(seed)
            direction = jax.tree.map(lambda leaf, key=key: jax.random.normal(key, leaf.shape, jnp.float64), parameters)
            along = sum(jax.tree.leaves(jax.tree.map(lambda g, d: jnp.vdot(g, d), gradient, direction)))
            ahead, behind = (jax.tree.map(lambda p, d, h=h: p + h * d, parameters, direction) for h in (1e-6, -1e-6))
            expected = (value(ahead) - value(behind)) / 2e-6
            assert abs(float(expected)) > 1e-3
            assert float(along) == pytest.approx(float(expected), rel=1e-5)


def test_the_gradient_of_flips() -> None:
    net, x = network(weights=OneBit()), jnp.zeros((1, 8))
    graph, latents, rest = nnx.split(net, BinaryParam, ...)
    gradient = jax.grad(lambda state: FlipPenalty(2.0)(nnx.merge(graph, state, rest), x[None], x))(latents)
    signs = np.where(np.asarray(TALL.dense()) >= 0, 1.0, -1.0)
    against = signs * np.asarray(net.maps["W"].variables["signs"][...]) < 0
    assert 0 < against.sum() < against.size
    (found,) = jax.tree.leaves(gradient)
    np.testing.assert_allclose(found, -2.0 * signs * against / against.size, rtol=1e-6)


def test_norms_of_zero_repeated_and_tiny_matrices_have_gradients() -> None:
    value, gradient = jax.value_and_grad(largest_singular_value)(jnp.zeros((3, 3)))
    assert float(value) < 1e-12
    assert np.isfinite(gradient).all()
    value, gradient = jax.value_and_grad(largest_singular_value)(2.0 * jnp.eye(3))  # any of three is a subgradient
    assert float(value) == pytest.approx(2.0)
    assert float(jnp.sum(gradient**2)) == pytest.approx(1.0)
    assert float(jnp.trace(gradient)) == pytest.approx(1.0)
    stack = jax.random.normal(KEY, (4, 2, 5, 7))
    expected = np.linalg.norm(np.asarray(stack, np.float64), 2, axis=(-2, -1))
    np.testing.assert_allclose(largest_singular_value(stack), expected, rtol=1e-6)
