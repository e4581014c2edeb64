"""`FullyConnected`: the network against NumPy, its shapes, formats and errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import FullyConnected
from unrollbit.formats import FullPrecision, Normalised, OneBit
from unrollbit.operators import gaussian
from unrollbit.variables import BinaryParam, MatrixParam, ScaleParam

A = gaussian(6, 10)


def by_hand(net: FullyConnected, y: np.ndarray) -> np.ndarray:
    """The documented formula, in float64, on the dense matrices."""
    h = y @ np.asarray(net.maps["first"].dense()[0], np.float64).T + net.scalars["bias_first"][0]
    h = h if net.skip else np.maximum(h, 0.0)
    for k in range(net.depth - 2):
        hidden = np.asarray(net.maps["hidden"].dense()[k], np.float64)
        bias = net.scalars["bias_hidden"][k]
        h = h + np.maximum(h + bias, 0.0) @ hidden.T if net.skip else np.maximum(h @ hidden.T + bias, 0.0)
    return h @ np.asarray(net.maps["last"].dense()[0], np.float64).T


TWO_PLANES = OneBit(scale="row", planes=2)


@pytest.mark.long
@pytest.mark.parametrize(
    ("weights", "depth", "skip"),
    [(FullPrecision(), 2, False), (FullPrecision(), 4, True), (TWO_PLANES, 2, True), (TWO_PLANES, 4, False)],
)
def test_against_numpy(weights, depth: int, skip: bool) -> None:
    net = FullyConnected(A, depth, 7, weights, skip=skip, seed=3)
    random = np.random.RandomState(0)
    for bias in net.scalars.values():
        bias[...] = jnp.asarray(random.standard_normal(bias.shape), jnp.float32)
    y = random.standard_normal((2, 3, 6)).astype(np.float32)
    out = net(jnp.asarray(y))
    assert out.shape == (2, 3, 10)
    np.testing.assert_allclose(out, by_hand(net, y), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(net(jnp.asarray(y[0, 0])), out[0, 0], rtol=1e-4, atol=1e-4)
    assert {name: w.shape for name, w in net.maps.items()} == {
        "first": (7, 6),
        **({"hidden": (7, 7)} if depth > 2 else {}),
        "last": (10, 7),
    }
    assert sum(net.uses(name) for name in net.maps) == depth
    assert net.needs_physics is False


def test_default_width_start_and_seed() -> None:
    net = FullyConnected(A, 12, 200, seed=1)
    first, hidden = net.maps["first"].dense(), net.maps["hidden"].dense()
    assert hidden.shape == (10, 200, 200)
    assert float(jnp.std(first)) == pytest.approx(np.sqrt(2 / 6), rel=0.05)  # He et al. 2015
    assert float(jnp.std(hidden)) == pytest.approx(np.sqrt(2 / 200), rel=0.02)
    assert not np.allclose(hidden[0], hidden[1])
    assert FullyConnected(A, 2).width == 10
    y = jnp.ones(6)
    np.testing.assert_array_equal(FullyConnected(A, 3, seed=5)(y), FullyConnected(A, 3, seed=5)(y))
    assert not np.allclose(FullyConnected(A, 3, seed=5)(y), FullyConnected(A, 3, seed=6)(y))
    scaled = FullyConnected(A, 12, 200, seed=1, skip=True)
    np.testing.assert_allclose(scaled.maps["hidden"].dense(), 0.1 * hidden, rtol=1e-5)
    np.testing.assert_array_equal(scaled.maps["last"].dense()[0], np.eye(10, 200))  # unit j estimates unknown j
    assert float(jnp.std(net.maps["last"].dense())) == pytest.approx(np.sqrt(0.02 / 200), rel=0.1)


def test_variable_types_and_gradients() -> None:
    kinds = {}
    for name, weights in (("float", FullPrecision()), ("one-bit", OneBit())):
        net = FullyConnected(A, 4, 7, weights)
        gradient = jax.jit(jax.grad(lambda net: jnp.sum(net(jnp.ones((3, 6))) ** 2)))(net)
        assert all(bool(jnp.isfinite(g).all()) for g in jax.tree.leaves(gradient))
        kinds[name] = [len(jax.tree.leaves(nnx.state(net, kind))) for kind in (MatrixParam, BinaryParam, ScaleParam)]
    assert kinds == {"float": [3, 0, 0], "one-bit": [0, 3, 3]}


def test_rebuilt_networks_are_equal() -> None:
    net = FullyConnected(A, 4, 7, skip=True)
    y = jnp.ones((2, 6))
    np.testing.assert_array_equal(net.with_maps(dict(net.maps))(y), net(y))
    assert net.to_spec() == {"kind": "FullyConnected", "depth": 4, "width": 7, "skip": True}


def test_errors() -> None:
    with pytest.raises(ValueError, match="depth: expected an integer >= 2, got 1"):
        FullyConnected(A, 1, 5)
    with pytest.raises(ValueError, match="width: expected a positive integer, got 0"):
        FullyConnected(A, 3, 0)
    with pytest.raises(TypeError, match=r"problem: expected a LinearOperator, a problem that .* got 3"):
        FullyConnected(3, 4)
    net = FullyConnected(A, 3)
    with pytest.raises(ValueError, match="hidden layers are no estimates"):
        net(jnp.ones(6), iterates=True)
    with pytest.raises(ValueError, match="hidden layers are no estimates"):
        net(jnp.ones(6), depth=2)
    assert net(jnp.ones(6), depth=3).shape == (10,)
    with pytest.raises(ValueError, match="m = 6 entries"):
        net(jnp.ones(7))
    with pytest.raises(TypeError, match="complex64; stack"):
        net(jnp.ones(6, jnp.complex64))
    with pytest.raises(ValueError, match="Normalised"):
        FullyConnected(A, 3, weights=Normalised(OneBit()))
