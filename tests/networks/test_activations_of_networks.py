"""Networks with activations: by hand, in files, in recipes, and what knows them not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import AMP, ISTA, FullyConnected, Unrolled, count_bits, fit, load, pack, recipes, refine
from unrollbit.algorithms import OutsideNormalForm
from unrollbit.cli.card_facts import describe
from unrollbit.formats import Fixed, FullPrecision, OneBit
from unrollbit.networks import Activations, Network
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


def test_networks_compile_once_per_activations() -> None:
    traced = []

    @jax.jit
    def traced_run(net: Network, y: jax.Array) -> jax.Array:
        traced.append(net.activations)
        return net(y)

    for activations in (EIGHT, Activations(bits=8), Activations(bits=7)):
        traced_run(Unrolled(ISTA(), A, 2, activations=activations), measured(2))
    assert traced == [EIGHT, Activations(bits=7)]
