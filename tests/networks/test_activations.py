"""Activations: values by hand, gradients, invariances, and every place where a network with them goes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, ISTA, FullyConnected, Unrolled, count_bits, fit, load, pack, recipes, refine
from unrollbit.algorithms import OutsideNormalForm
from unrollbit.cli.card_facts import describe
from unrollbit.formats import Fixed, FullPrecision, OneBit
from unrollbit.networks import Activations, Network
from unrollbit.networks.activations import normalise, quantise
from unrollbit.operators import gaussian
from unrollbit.packed import runtime
from unrollbit.packed.file import unstored, write_file
from unrollbit.problems import SparseRecovery
from unrollbit.theory.normal_form import normal_form
from unrollbit.training import Contraction, FlipPenalty, Stage, SupportContraction

A = gaussian(8, 16, seed=1)
TALL = gaussian(16, 8, seed=1)
EIGHT = Activations(bits=8)
NEVER = 1e-30  # a tolerance that no signal meets

run = jax.jit(lambda net, y: net(y))


def measured(*batch: int, m: int = 8) -> jax.Array:
    return jnp.asarray(np.random.RandomState(0).standard_normal((*batch, m)), jnp.float32)


def by_hand(activations: Activations, product, x: np.ndarray) -> np.ndarray:
    """The documented formulas, in float64."""

    def layer_norm(v: np.ndarray) -> np.ndarray:
        square = np.mean(v**2, -1, keepdims=True)
        return (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5 * square)

    x = layer_norm(x) if activations.normalisation == "input" else x
    if activations.bits is not None:
        Q = 2 ** (activations.bits - 1) - 1
        s = Q / np.maximum(np.abs(x).max(-1, keepdims=True), 1e-30)
        x = np.clip(np.round(x * s), -Q - 1, Q) / s
    u = product(x)
    return layer_norm(u) if activations.normalisation == "output" else u


# --- the two functions


@pytest.mark.parametrize(
    ("bits", "x", "expected"),
    [
        (2, [4.0, -1.9, 2.1, 0.0], [4.0, 0.0, 4.0, 0.0]),  # Q = 1: a ternary input
        (3, [3.0, -1.4, 0.4, -2.6], [3.0, -1.0, 0.0, -3.0]),
        (3, [-6.0, 1.0, 3.0, 5.0], [-6.0, 0.0, 4.0, 4.0]),  # halves to even: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2
        (8, [127.0, -63.6, 0.4, 126.5], [127.0, -64.0, 0.0, 126.0]),
        (8, [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]),
        (16, [32767.0, -1.2, 0.4, 7.0], [32767.0, -1.0, 0.0, 7.0]),
    ],
)
def test_quantise_by_hand(bits: int, x: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(quantise(jnp.array(x), bits), expected, rtol=1e-6)


def test_samples_have_scales_of_their_own_and_no_absolute_floor() -> None:
    x = jnp.array([[127.0, 1.0], [1.27e-6, 1e-8], [0.0, 0.0]])
    np.testing.assert_allclose(quantise(x, 8), x, rtol=1e-5)  # BitNet's floor of 1e-5 would make row 1 coarse
    assert bool(jnp.isnan(quantise(jnp.array([1.0, jnp.nan]), 8)).all())  # nothing is hidden


def test_normalise_by_hand() -> None:
    np.testing.assert_allclose(
        normalise(jnp.array([1.0, 3.0, 5.0])), np.array([-2.0, 0.0, 2.0]) / np.sqrt(8 / 3 + 1e-5 * 35 / 3), rtol=1e-6
    )
    np.testing.assert_array_equal(normalise(jnp.full((2, 3), 7.0)), np.zeros((2, 3)))
    rows = normalise(measured(5))
    np.testing.assert_allclose(rows.mean(-1), 0.0, atol=1e-6)
    np.testing.assert_allclose(rows.var(-1), 1.0, rtol=1e-3)
    for unit in (1e-30, 1e-4, 1.0, 1e30):  # the 1e-5 of the published layers belongs to inputs of mean square 1
        small = normalise(jnp.array([unit, -unit], jnp.float32))
        np.testing.assert_allclose(small, np.array([1, -1]) / np.sqrt(1 + 1e-5), rtol=1e-6)
    np.testing.assert_array_equal(normalise(jnp.zeros((2, 3))), np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtypes_are_kept(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        x = jnp.array([[3.0, -1.4, 0.4], [0.0, 0.0, 0.0]], dtype)
        found = Activations(3, "input").before(x), quantise(x, 3)
        assert all(value.dtype == x.dtype for value in found)
        np.testing.assert_allclose(np.asarray(found[1], np.float64), [[3, -1, 0], [0, 0, 0]], rtol=1e-2)


def test_the_derivative_of_quantise_is_the_identity() -> None:
    """Everywhere: at the maximum, which sets the scale, at 0, and for a sample of zeros."""
    x = jnp.array([[3.0, -1.4, 0.4], [0.0, 0.0, 0.0]])
    cotangent = jnp.array([[1.0, -2.0, 3.0], [4.0, 5.0, 6.0]])
    value, pullback = jax.vjp(partial(quantise, bits=3), x)
    np.testing.assert_array_equal(pullback(cotangent)[0], cotangent)
    np.testing.assert_array_equal(value, quantise(x, 3))
    np.testing.assert_array_equal(jax.jvp(partial(quantise, bits=3), (x,), (cotangent,))[1], cotangent)
    np.testing.assert_array_equal(jax.vmap(partial(quantise, bits=3))(x), value)
    gradient = jax.grad(lambda x: jnp.sum(Activations(3, "input").before(x) * cotangent))(x)
    np.testing.assert_allclose(gradient, jax.grad(lambda x: jnp.sum(normalise(x) * cotangent))(x), rtol=1e-6)
    assert bool(jnp.isfinite(gradient).all())


VECTORS = st.lists(st.floats(-100, 100, width=32), min_size=5, max_size=5).map(
    lambda values: np.array(values, np.float32)
)
BITS = st.integers(2, 12)
often = settings(max_examples=30, deadline=None)


@often
@given(VECTORS, BITS, st.integers(-20, 20), st.permutations(range(5)))
def test_quantisation_commutes_with_units_signs_and_order(
    x: np.ndarray, bits: int, power: int, order: list[int]
) -> None:
    x = np.where(np.abs(x) < 1e-3, 0, x)
    found = np.asarray(quantise(jnp.asarray(x), bits))
    scaled = np.ldexp(x, power)
    np.testing.assert_allclose(quantise(jnp.asarray(scaled), bits), np.ldexp(found, power), rtol=1e-6)
    np.testing.assert_array_equal(quantise(jnp.asarray(-x), bits), -found)
    np.testing.assert_array_equal(quantise(jnp.asarray(x[order]), bits), found[order])


@often
@given(VECTORS, BITS)
def test_quantised_values_lie_on_the_grid_and_near(x: np.ndarray, bits: int) -> None:
    found, Q = np.asarray(quantise(jnp.asarray(x), bits), np.float64), 2 ** (bits - 1) - 1
    level = max(np.abs(x).max(), 1e-30) / Q
    assert np.abs(found - x).max() <= (0.5 + 1e-3) * level
    steps = found / level
    np.testing.assert_allclose(steps, steps.round(), atol=1e-3)
    assert np.abs(steps).max() <= Q + 1e-3
    np.testing.assert_allclose(quantise(jnp.asarray(found, jnp.float32), bits), found, rtol=1e-5, atol=1e-5 * level)


@often
@given(VECTORS, st.floats(-50, 50, width=32), st.floats(1, 50, width=32))
def test_layer_normalisation_forgets_mean_and_size(x: np.ndarray, shift: float, factor: float) -> None:
    """The size of a residual, too: what the docstring warns of."""
    x = x + np.array([9, -9, 0, 0, 0], np.float32)  # not constant: the 1e-5 must not matter
    x = x if x.std() > 1 else 10 * x + np.arange(5, dtype=np.float32)
    expected = np.asarray(normalise(jnp.asarray(x)))
    np.testing.assert_allclose(normalise(jnp.asarray(factor * x + shift, jnp.float32)), expected, atol=1e-3)


# --- networks


@pytest.mark.parametrize(("bits", "normalisation"), [(4, "none"), (4, "input"), (None, "output")])
def test_unrolled_networks_by_hand(bits: int | None, normalisation: Any) -> None:
    """The learned map is wrapped, the physics A is not."""
    activations = Activations(bits, normalisation)
    net = Unrolled(ISTA(regularisation=0.05), A, 3, activations=activations)
    W, dense = np.asarray(net.maps["W"].dense(), np.float64), np.asarray(A.dense(), np.float64)
    values = {name: np.asarray(value, np.float64) for name, value in net.values().items()}
    y = measured(4)
    x = np.zeros((4, 16))
    for k in range(3):
        u = x + values["step"][k] * by_hand(activations, lambda r, k=k: r @ W[k], np.asarray(y) - x @ dense.T)
        x = np.sign(u) * np.maximum(np.abs(u) - values["threshold"][k], 0)
    np.testing.assert_allclose(run(net, y), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("bits", "normalisation", "skip"), [(8, "none", True), (4, "output", False)])
def test_fully_connected_networks_by_hand(bits: int | None, normalisation: Any, skip: bool) -> None:
    activations = Activations(bits, normalisation)
    net = FullyConnected(A, 3, 12, OneBit(), skip=skip, activations=activations)
    biases = {name: 0.1 * np.random.RandomState(1).standard_normal(v.shape) for name, v in net.scalars.items()}
    for name, variable in net.scalars.items():
        variable[...] = jnp.asarray(biases[name], jnp.float32)

    def around(name: str, v: np.ndarray) -> np.ndarray:
        return by_hand(activations, lambda v: v @ np.asarray(net.maps[name].dense()[0], np.float64).T, v)

    def relu(v: np.ndarray) -> np.ndarray:
        return np.maximum(v, 0)

    y = measured(4)
    h = around("first", np.asarray(y, np.float64)) + biases["bias_first"][0]
    h = h if skip else relu(h)
    b = biases["bias_hidden"][0]
    h = h + around("hidden", relu(h + b)) if skip else relu(around("hidden", h) + b)
    np.testing.assert_allclose(run(net, y), around("last", h), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [partial(Unrolled, AMP()), FullyConnected], ids=["unrolled", "fully connected"])
def test_no_activations_are_the_plain_network(make: Any) -> None:
    plain, y = make(A, 3), measured(4)
    for nothing in (None, Activations(), Activations(None, "none")):
        net = make(A, 3, activations=nothing)
        assert net.activations is None
        assert net.to_spec() == plain.to_spec()
        np.testing.assert_array_equal(run(net, y), run(plain, y))
    assert "activations" not in plain.to_spec()
    assert make(A, 3, activations=EIGHT).to_spec()["activations"] == {"kind": "Activations", **vars(EIGHT)}
    assert not np.array_equal(run(make(A, 3, activations=EIGHT), y), run(plain, y))
    assert count_bits(make(A, 3, activations=EIGHT)).to_dict() == count_bits(plain).to_dict()


def test_maps_that_store_nothing_stay_float() -> None:
    classic = ISTA(regularisation=0.05, parametrisation="classic")
    half = {"W1": Fixed(), "W2": OneBit()}
    coarse, plain = (Unrolled(classic, A, 1, half, activations=a) for a in (Activations(2), None))
    assert coarse.activated == ("W2",)
    np.testing.assert_array_equal(run(coarse, measured(4)), run(plain, measured(4)))  # x_0 = 0, so only W1 acts
    for algorithm, weights in ((ISTA(parametrisation="step"), OneBit()), (AMP(), Fixed())):
        with pytest.raises(ValueError, match="act on learned maps, and this network has none; leave them out"):
            Unrolled(algorithm, A, 2, weights, activations=EIGHT)


def test_many_bits_are_nearly_the_plain_network_and_its_gradient() -> None:
    both = jax.jit(jax.value_and_grad(lambda net, y: jnp.sum(net(y) ** 2)))
    sizes, gradients = [], []
    for activations in (None, Activations(16), EIGHT):
        size, gradient = both(FullyConnected(A, 2, 12, OneBit(), activations=activations), measured(4))
        sizes.append(float(size))
        gradients.append(gradient.maps["first"].variables["signs"][...])
    plain = gradients[0]
    errors = [float(jnp.linalg.norm(gradient - plain) / jnp.linalg.norm(plain)) for gradient in gradients[1:]]
    assert errors[0] < 1e-3 < errors[1] < 0.1
    assert abs(sizes[1] / sizes[0] - 1) < 1e-3


def test_float64() -> None:
    net = Unrolled(ISTA(regularisation=0.05), A, 3, FullPrecision(), activations=Activations(8, "input"))
    y = measured(2)
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), net)
        x = double(jnp.asarray(y, jnp.float64))
        assert x.dtype == jnp.float64
        np.testing.assert_allclose(x, net(y), atol=0.05)


# --- where networks go


@pytest.fixture(scope="module")
def net() -> Unrolled:
    """Layers that differ."""
    net = Unrolled(ISTA(regularisation=0.05), A, 2, activations=EIGHT)
    latents = net.maps["W"].variables["signs"]
    latents[...] = latents[...] + jnp.asarray(np.random.RandomState(2).standard_normal(latents.shape), jnp.float32)
    return net


def test_networks_around_other_weights_keep_the_activations(net: Unrolled) -> None:
    assert net.unquantised().activations == EIGHT
    same = net.with_maps(dict(net.maps))
    np.testing.assert_array_equal(run(same, measured(3)), run(net, measured(3)))
    fully = FullyConnected(A, 2, activations=EIGHT)
    assert fully.with_maps(dict(fully.maps)).activations == EIGHT


def test_recipes_take_activations() -> None:
    for name in ("two_stage", "learned_signs", "full_precision"):
        assert getattr(recipes, name)(A, 2, activations=EIGHT).network.activations == EIGHT
    assert recipes.scalars_only(A, 2, weights=OneBit(), activations=EIGHT).network.activations == EIGHT


def test_files_carry_activations(net: Unrolled, tmp_path: Path) -> None:
    fully = FullyConnected(A, 2, 12, OneBit(), activations=Activations(8, "output"))
    for network in (net, fully):
        packed = load(pack(network).save(tmp_path / "net.safetensors"))
        assert packed.network.activations == packed.trainable().activations == network.activations
        y = measured(3)
        np.testing.assert_array_equal(run(packed.trainable(), y), run(network, y))
        np.testing.assert_allclose(packed(y), run(network, y), rtol=1e-4, atol=1e-5)
    assert "inputs in 8 bits, layer normalisation of the output." in describe(packed)["description"]
    file = runtime.read(tmp_path / "net.safetensors")
    file.description["network"]["activations"]["bits"] = 40
    write_file(file.path, file.description, file.run, {name: unstored(a) for name, a in file.arrays.items()})
    with pytest.raises(ValueError, match=r"net.safetensors: Activations bits: expected an integer from 2 to 16"):
        load(file.path)


def test_refine_repeats_layers_with_their_activations(net: Unrolled) -> None:
    y, layers = measured(3), np.array([0, 1, 0, 1, 0, 1])
    deep = Unrolled(
        net.algorithm,
        net.operator,
        6,
        {"W": FullPrecision().from_matrix(net.maps["W"].dense()[layers], copies=6)},
        scalars={name: raw[...][layers] for name, raw in net.scalars.items()},
        activations=EIGHT,
    )
    found, expected = refine(net, y, tolerance=NEVER, layers=4), np.asarray(run(deep, y))
    misfit = [np.linalg.norm(np.asarray(y - net.operator(x)), axis=-1) for x in (expected, run(net, y))]
    assert (misfit[0] < misfit[1]).all()  # the safeguard keeps the last estimate
    np.testing.assert_allclose(found.x, expected, rtol=1e-3, atol=1e-3)


def test_theory_has_no_normal_form_for_them() -> None:
    plain, net = (Unrolled(ISTA(), TALL, 2, activations=activations) for activations in (None, EIGHT))
    assert plain.form == "ista"
    message = r"Activations\(bits=8, normalisation='none'\): .* not linear .* no normal form; leave activations out"
    for call in (net.linear_parts, lambda: net.form, lambda: normal_form(net)):
        with pytest.raises(OutsideNormalForm, match=message):
            call()
    for penalty in (Contraction(), SupportContraction()):
        penalty.check(plain)
        with pytest.raises(ValueError, match=f"{type(penalty).__name__}: the layers have no normal form .*{message}"):
            penalty.check(net)
        for quantised in (True, False):
            stage = Stage(2, batch=4, quantised=quantised, penalties=(penalty,))
            with pytest.raises(ValueError, match="no normal form"):
                fit(net, SparseRecovery(16, 8, sparsity=0.5), [stage], progress=False)
    FlipPenalty().check(net)  # about stored signs alone


# --- mistakes and specs


@pytest.mark.parametrize("bits", [0, 1, 17, -8, 8.0, True, "8"])
def test_wrong_bits(bits: Any) -> None:
    with pytest.raises(ValueError, match=f"bits: expected an int.* None.* got {bits!r}"):
        Activations(bits)


def test_mistakes() -> None:
    with pytest.raises(ValueError, match="normalisation: expected one of 'none', 'input', 'output', got 'both'"):
        Activations(8, "both")  # pyright: ignore[reportArgumentType]
    for make in (partial(Unrolled, AMP()), FullyConnected):
        with pytest.raises(
            TypeError, match=r"activations: expected an Activations, such as Activations\(bits=8\), got 8"
        ):
            make(A, 3, activations=8)
    for spec, message in (
        (8, r"activations: expected a table such as \{bits = 8\}, got 8"),
        ({"bit": 8}, "Activations has no field 'bit'; its fields: bits, normalisation"),
        ({"bits": "8"}, "Activations.bits: expected int, got '8'"),
        ({"normalisation": "layer"}, "expected one of 'none', 'input', 'output', got 'layer'"),
        ({"kind": "Layer", "bits": 8}, "unknown kind of Activations 'Layer'"),
    ):
        with pytest.raises(ValueError, match=message):
            Activations.from_spec(spec)  # pyright: ignore[reportArgumentType]


def test_specs_pass_through_json() -> None:
    for activations in (Activations(), EIGHT, Activations(4, "input"), Activations(None, "output")):
        assert Activations.from_spec(json.loads(json.dumps(activations.to_spec()))) == activations
    assert Activations.from_spec({"bits": 8}) == EIGHT
    assert Activations.from_spec({}) == Activations()
    assert isinstance(hash(EIGHT), int)  # static in compiled programs


def test_networks_compile_once_per_activations() -> None:
    traced = []

    @jax.jit
    def traced_run(net: Network, y: jax.Array) -> jax.Array:
        traced.append(net.activations)
        return net(y)

    for activations in (EIGHT, Activations(bits=8), Activations(bits=7)):
        traced_run(Unrolled(ISTA(), A, 2, activations=activations), measured(2))
    assert traced == [EIGHT, Activations(bits=7)]
