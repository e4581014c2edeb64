"""`Unrolled`: the untrained network is the solver; depth, precision, compilation, errors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import Unrolled
from unrollbit.algorithms import ADMM, AMP, FISTA, ISTA, Algorithm, GradientDescent, solve
from unrollbit.formats import Fixed, FullPrecision, OneBit, SignalDomain
from unrollbit.operators import (
    Composition,
    Hadamard,
    Rademacher,
    SubsampledDCT,
    gaussian,
    gaussian_blocks,
)
from unrollbit.shrinkage import Firm, Soft, SupportSelection
from unrollbit.variables import ScalarParam

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
PHYSICS = {
    "dense": lambda: gaussian(8, 16, seed=1),
    "blocks": lambda: gaussian_blocks(2, 4, 8, seed=1),
    "hadamard": lambda: Hadamard(8, 16, seed=1),
    "composed": lambda: Composition.of(Rademacher(8, 16, seed=1), SubsampledDCT.random(16, 16, seed=1).T),
}
DEPTH = 5
COPIES = {"untied": None, "tied": 1, "cycled": 2}
run = jax.jit(lambda net, y: net(y))
run_layers = jax.jit(lambda net, y: net(y, iterates=True))


def relative(a, b) -> float:
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


# Every algorithm meets every physics and every number of copies (which decides how layers fetch their matrices).
CASES = [
    (algorithm, physics, list(COPIES)[(i + j) % 3])
    for i, algorithm in enumerate(ALGORITHMS)
    for j, physics in enumerate(PHYSICS)
]


@pytest.mark.long
@pytest.mark.grid(10)
@pytest.mark.parametrize(("algorithm", "physics", "copies"), CASES)
def test_untrained_network_is_the_solver_layer_by_layer(algorithm: str, physics: str, copies: str, signals) -> None:
    A = PHYSICS[physics]()
    _, y = signals(A, 3)
    net = Unrolled(ALGORITHMS[algorithm], A, DEPTH, FullPrecision(), distinct=COPIES[copies])
    expected = solve(ALGORITHMS[algorithm], A, y, DEPTH, iterates=True).iterates
    layers = run_layers(net, y)
    assert layers.shape == expected.shape == (DEPTH, 3, 16)
    for k in range(DEPTH):
        assert relative(layers[k], expected[k]) < 1e-5, f"layer {k}"


@pytest.mark.parametrize("shrinkage", [Firm(), SupportSelection(share=5.0, max_share=15.0)], ids=["firm", "selection"])
def test_scalars_that_follow_the_layer_index_agree_too(shrinkage, signals) -> None:
    A = gaussian(8, 16, seed=1)
    _, y = signals(A, 3)
    algorithm = ISTA(shrinkage=shrinkage, regularisation=0.05)
    layers = run_layers(Unrolled(algorithm, A, DEPTH, FullPrecision()), y)
    assert relative(layers, solve(algorithm, A, y, DEPTH, iterates=True).iterates) < 1e-5


def test_weights_in_the_signal_domain_start_at_the_solver(signals) -> None:
    A = PHYSICS["composed"]()
    _, y = signals(A, 3)
    net = Unrolled(FISTA(), A, DEPTH, SignalDomain(FullPrecision()))
    assert relative(run_layers(net, y), solve(FISTA(), A, y, DEPTH, iterates=True).iterates) < 1e-5


def test_fixed_weights_are_the_solver_and_hold_nothing_to_train(signals) -> None:
    A = gaussian(8, 16)
    _, y = signals(A, 3)
    net = Unrolled(AMP(), A, DEPTH, Fixed())
    assert relative(run_layers(net, y), solve(AMP(), A, y, DEPTH, iterates=True).iterates) < 1e-5
    kinds = {type(v) for v in jax.tree.leaves(nnx.state(net, nnx.Param), is_leaf=lambda v: isinstance(v, nnx.Variable))}
    assert kinds == {ScalarParam}


@pytest.mark.long
def test_iterates_depth_and_batch_axes_agree(signals) -> None:
    A = gaussian(8, 16)
    _, y = signals(A, 2, 3)
    net = Unrolled(AMP(), A, DEPTH, OneBit(scale="row"), distinct=2)
    layers = run_layers(net, y)
    assert layers.shape == (DEPTH, 2, 3, 16)
    np.testing.assert_allclose(run(net, y), layers[-1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net(y, depth=1), layers[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net(y[1, 2], depth=3, iterates=True), layers[:3, 1, 2], rtol=1e-4, atol=1e-6)


@pytest.mark.long
def test_cycled_layers_use_matrix_k_modulo_copies(signals) -> None:
    """Layer by layer, by hand, with three different matrices."""
    A = gaussian(8, 16, seed=1)
    _, y = signals(A, 2)
    random = np.random.RandomState(0)
    matrices = np.asarray(A.dense()) + 0.3 * random.standard_normal((3, 8, 16)).astype(np.float32)
    weights = FullPrecision().from_matrix(matrices, copies=3)
    net = Unrolled(GradientDescent(), A, 5, {"W": weights}, distinct=3)
    step = 1 / np.linalg.norm(np.asarray(A.dense()), 2) ** 2
    x = np.zeros((2, 16))
    for k, found in enumerate(run_layers(net, y)):
        x = x + step * (np.asarray(y) - x @ np.asarray(A.dense()).T) @ matrices[k % 3]
        np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net(y, depth=2), run_layers(net, y)[1], rtol=1e-5, atol=1e-6)


def count_equations(jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        total += 1
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += count_equations(inner)
    return total


@pytest.mark.long
@pytest.mark.parametrize("copies", COPIES)
def test_program_does_not_grow_with_depth(copies: str) -> None:
    A = gaussian(8, 16)
    y = jnp.ones((2, 8))

    def size(depth: int) -> int:
        net = Unrolled(AMP(), A, depth, OneBit(), distinct=COPIES[copies])
        loss = jax.value_and_grad(lambda net: jnp.sum(net(y, iterates=True) ** 2), allow_int=True)
        return count_equations(jax.make_jaxpr(loss)(net).jaxpr)

    assert 100 < size(8) == size(64)


def test_equal_networks_share_one_compilation() -> None:
    run = jax.jit(lambda net, y: net(y))
    y = jnp.ones((2, 8))
    outputs = [run(Unrolled(AMP(), gaussian(8, 16, seed=seed), 3, OneBit()), y) for seed in (4, 4, 5)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])
    assert run._cache_size() == 1
    run(Unrolled(AMP(), gaussian(8, 16, seed=4), 4, OneBit()), y)
    assert run._cache_size() == 2


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["ista classic", "amp computed"])
def test_float64_network_is_the_float64_solver(algorithm: str, in_float64) -> None:
    with jax.enable_x64(True):
        A = gaussian(8, 16, seed=1)
        y = jnp.asarray(np.random.RandomState(0).standard_normal((2, 8)), jnp.float64)
        net = in_float64(Unrolled(ALGORITHMS[algorithm], A, DEPTH, FullPrecision()))
        out = np.asarray(net(y))
        expected = np.asarray(solve(ALGORITHMS[algorithm], A, y, DEPTH).x)
    assert out.dtype == np.float64
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)  # parameters were rounded to float32


@pytest.mark.long
def test_float32_network_runs_under_x64(signals) -> None:
    A = PHYSICS["composed"]()
    y = np.asarray(signals(A, 2)[1])
    expected = np.asarray(Unrolled(ADMM(), A, 3, OneBit())(jnp.asarray(y)))
    with jax.enable_x64(True):
        net = Unrolled(ADMM(), PHYSICS["composed"](), 3, OneBit())
        out = np.asarray(net(jnp.asarray(y, jnp.float32)))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_scalars_have_one_value_a_layer_and_start_at_the_algorithms_values() -> None:
    A = gaussian(8, 16)
    net = Unrolled(FISTA(regularisation=0.2), A, 6, OneBit())
    values = net.values()
    assert {name: value.shape for name, value in values.items()} == {"step": (6,), "momentum": (6,), "threshold": (6,)}
    step = 1 / float(A.norm()) ** 2
    np.testing.assert_allclose(values["step"], step, rtol=1e-5)
    np.testing.assert_allclose(values["threshold"], 0.2 * step, rtol=1e-5)
    np.testing.assert_allclose(net.scalars["step"][...], np.log(step), rtol=1e-5)
    assert (net.uses("W"), net.needs_physics, net.to_spec()["depth"]) == (6, True, 6)


def test_rebuilt_networks_are_equal(signals) -> None:
    A = gaussian(8, 16)
    _, y = signals(A, 2)
    net = Unrolled(AMP(), A, 3, OneBit(), distinct=1)
    raw = {name: variable[...] for name, variable in net.scalars.items()}
    again = Unrolled(AMP(), A, 3, dict(net.maps), scalars=raw)
    other = net.with_maps({"W": FullPrecision().from_matrix(net.maps["W"].dense(), copies=1)})
    np.testing.assert_array_equal(again(y), net(y))
    np.testing.assert_allclose(other(y), net(y), rtol=1e-4, atol=1e-5)
    other.scalars["step"][...] = other.scalars["step"][...] + 1.0  # a copy: the first network keeps its own
    np.testing.assert_array_equal(again(y), net(y))


def test_weights_may_be_given_by_map_name() -> None:
    A = gaussian(8, 16)
    algorithm = ISTA(parametrisation="classic")
    net = Unrolled(algorithm, A, 3, {"W1": OneBit(), "W2": OneBit(scale="row")}, distinct=1)
    assert net.maps["W1"].format.scale == "layer"
    assert net.maps["W2"].format.scale == "row"
    assert (net.maps["W1"].shape, net.maps["W2"].shape) == ((16, 8), (16, 16))
    ready = FullPrecision().from_matrix(A.dense(), copies=1)
    assert Unrolled(AMP(), A, 3, {"W": ready}).maps["W"] is ready


def test_the_step_parametrisation_learns_scalars_only() -> None:
    net = Unrolled(ISTA(parametrisation="step"), gaussian(8, 16), 3, OneBit())
    assert net.maps["W"].format == Fixed()
    assert net.maps["W"].bits() == 0


def test_errors() -> None:
    A = gaussian(8, 16)
    assert Unrolled(AMP(), np.eye(3), 3).operator.shape == (3, 3)
    with pytest.raises(TypeError, match=r"problem: expected .*, got 3"):
        Unrolled(AMP(), 3, 3)
    for depth in (0, -1, True):
        with pytest.raises(ValueError, match="depth: expected a positive integer"):
            Unrolled(AMP(), A, depth)
    for distinct in (0, 4):
        with pytest.raises(ValueError, match=rf"distinct: expected an integer from 1 to 3, got {distinct}"):
            Unrolled(AMP(), A, 3, distinct=distinct)
    with pytest.raises(ValueError, match=r"weights: no entry for the map 'W2'; got \['W1'\]"):
        Unrolled(ISTA(parametrisation="classic"), A, 3, {"W1": OneBit()})
    wrong = FullPrecision().from_matrix(np.eye(8), copies=1)
    with pytest.raises(ValueError, match=r"map 'W': expected matrices of shape \(8, 16\), got \(8, 8\)"):
        Unrolled(AMP(), A, 3, {"W": wrong})
    net = Unrolled(AMP(), A, 3)
    with pytest.raises(
        ValueError, match=r"network\(y\): expected the last axis to have m = 8 entries, got shape \(2, 7\)"
    ):
        net(jnp.ones((2, 7)))
    np.testing.assert_array_equal(net(jnp.ones((2, 8), jnp.int32)), net(jnp.ones((2, 8))))
    with pytest.raises(TypeError, match="complex64; stack"):
        net(jnp.ones((2, 8), jnp.complex64))
    for depth in (0, 4):
        with pytest.raises(ValueError, match=rf"depth: expected a number of layers in \[1, 3\], got {depth}"):
            net(jnp.ones((2, 8)), depth=depth)
