"""``W = A + V``: products, bits, files and training of weights that correct the physics."""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from unrollbit import Unrolled, count_bits, load, pack
from unrollbit.algorithms import ADMM, AMP, ISTA, LinearMap, solve
from unrollbit.formats import (
    Anchored,
    Designed,
    Format,
    FullPrecision,
    Normalised,
    OneBit,
    PackedWeights,
    Place,
    SignalDomain,
    Weights,
)
from unrollbit.operators import (
    Composition,
    Convolution,
    Hadamard,
    LinearOperator,
    Rademacher,
    SubsampledDCT,
    Sum,
    gaussian,
    gaussian_blocks,
)
from unrollbit.operators.structured import Structured
from unrollbit.packed_operators import sign_planes
from unrollbit.variables import BinaryParam, ScaleParam

PHYSICS = {
    "dense": lambda: gaussian(6, 10),
    "blocks": lambda: gaussian_blocks(2, 3, 5),
    "rademacher": lambda: Rademacher(6, 10, seed=1),
    "hadamard": lambda: Hadamard(6, 16, seed=1),
    "sign planes": lambda: sign_planes(gaussian(6, 10), 3),
}
INNER = {
    "layer": OneBit(),
    "rows, two planes": OneBit(scale="row", planes=2),
    "designed": Designed(OneBit(scale="global"), noise=0.1, steps=5),
    "float32": FullPrecision(),
}


def correcting(A: LinearOperator, copies: int = 2, **options) -> tuple[Weights, Weights]:
    """One-bit weights V of random matrices, and the physics plus V."""
    values = np.random.RandomState(0).standard_normal((copies, *A.shape))
    V = OneBit(**options).from_matrix(values, A.mask(), copies=copies)
    place = Place(LinearMap(A, A.mask(), transposed=True), A, copies)
    return V, Anchored(V.format).wrap(place, V)


def through_a_file(packed: PackedWeights) -> PackedWeights:
    return PackedWeights(json.loads(json.dumps(packed.spec)), {k: v.copy() for k, v in packed.arrays.items()})


@pytest.mark.long
@pytest.mark.parametrize("physics", ["blocks", "hadamard", "sign planes"])
def test_dense_is_the_physics_plus_the_correction(physics: str) -> None:
    A = PHYSICS[physics]()
    V, weights = correcting(A, scale="row", planes=2)
    expected = np.asarray(A.dense(), np.float64) + np.asarray(V.dense(), np.float64)
    assert weights.dense().shape == (2, *A.shape)
    np.testing.assert_allclose(weights.dense(), expected, rtol=1e-5, atol=1e-6)
    m, n = A.shape
    x = np.random.RandomState(1).standard_normal((2, 3, n)).astype(np.float32)
    r = np.random.RandomState(2).standard_normal((2, 3, m)).astype(np.float32)
    np.testing.assert_allclose(weights.apply(jnp.asarray(x), 1), x @ expected[1].T, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(weights.apply_transpose(jnp.asarray(r), 1), r @ expected[1], rtol=1e-4, atol=1e-4)
    # training forms the sum once, in the core of the structure
    assert isinstance(weights.layer(0), Structured)
    assert weights.layer(0).mask() == A.mask()


@pytest.mark.long
@pytest.mark.parametrize(
    ("physics", "inner"),
    [
        ("dense", "layer"),
        ("dense", "float32"),
        ("blocks", "rows, two planes"),
        ("rademacher", "designed"),
        ("hadamard", "rows, two planes"),
        ("sign planes", "designed"),
    ],
)
def test_files_give_back_the_weights_and_frozen_ones_are_the_same_map(physics: str, inner: str) -> None:
    A = PHYSICS[physics]()
    linear_map = AMP().maps(A)["W"]
    weights = Anchored(INNER[inner]).build(Place(linear_map, A, 2))
    packed = weights.pack()
    assert Format.from_spec(packed.spec["format"]) == weights.format == Anchored(INNER[inner])
    assert packed.arrays.keys() == weights.inner.pack().arrays.keys()  # nothing of A
    back = Weights.unpack(through_a_file(packed), linear_map, A)
    np.testing.assert_array_equal(back.dense(), weights.dense())
    frozen = Weights.unpack(through_a_file(packed), linear_map, A, frozen=True)
    assert frozen.format == weights.format
    assert frozen.packed
    matrix = frozen.layer(1)
    assert isinstance(matrix, Sum)
    held = zip(jax.tree.leaves(matrix.first), jax.tree.leaves(A), strict=True)
    assert all(mine.unsafe_buffer_pointer() == own.unsafe_buffer_pointer() for mine, own in held)  # A is held once
    np.testing.assert_allclose(frozen.dense(), weights.dense(), rtol=1e-5, atol=1e-6)
    r = jnp.asarray(np.random.RandomState(2).standard_normal((3, A.shape[0])), jnp.float32)
    np.testing.assert_allclose(frozen.apply_transpose(r, 1), weights.apply_transpose(r, 1), rtol=1e-4, atol=1e-4)
    for key, array in frozen.pack().arrays.items():
        assert array.tobytes() == packed.arrays[key].tobytes()
    for count in ("bits", "stored_bits", "stored_weights", "weight_bits", "scale_bits", "resident_bits"):
        assert getattr(frozen, count)() == getattr(weights, count)() == getattr(weights.inner, count)()


def test_bits_of_a_network_count_the_physics_once() -> None:
    A = gaussian(6, 10)
    plain, around = (Unrolled(AMP(), A, 3, format, distinct=1) for format in (OneBit(), Anchored(OneBit())))
    assert count_bits(around) == count_bits(plain)
    assert count_bits(around).physics_resident_bits == 32 * 60
    assert count_bits(around).maps["W"].weight_bits == 60
    assert count_bits(around).maps["W"].scale_bits == 32
    assert count_bits(around).maps["W"].resident_bits == 6 * 16 + 32  # rows of 10 signs in 2 bytes, one scale


@pytest.mark.parametrize("physics", ["dense", "blocks"])
def test_rebuilt_weights_correct_towards_the_given_matrices(physics: str) -> None:
    A = PHYSICS[physics]()
    _, weights = correcting(A, scale="row", planes=2)
    mask = np.asarray(A.mask().dense_mask())
    target = np.asarray(A.dense()) + 0.1 * mask * np.random.RandomState(3).standard_normal((2, *A.shape))
    rebuilt = weights.rebuild(jnp.asarray(target, jnp.float32))
    assert (rebuilt.format, rebuilt.copies) == (Anchored(OneBit(scale="row", planes=2)), 2)
    lacking = OneBit(scale="row", planes=2).from_matrix(target - np.asarray(A.dense()), A.mask(), copies=2)
    np.testing.assert_allclose(rebuilt.dense() - A.dense(), lacking.dense(), atol=1e-5)
    error = np.linalg.norm(rebuilt.dense() - target)
    assert error < 0.5 * np.linalg.norm(target - np.asarray(A.dense()))


def test_unquantised_weights_train_around_the_physics_and_quantise_back() -> None:
    A = gaussian(6, 10)
    _, weights = correcting(A)
    floats = weights.unquantised(FullPrecision())
    assert floats.format == Anchored(FullPrecision())
    inner = weights.leaf.unquantised(FullPrecision())
    np.testing.assert_allclose(floats.dense() - A.dense(), inner.dense(), atol=1e-6)
    again = weights.quantised_from(floats)
    assert again.format == Anchored(OneBit())
    np.testing.assert_allclose(again.dense(), weights.dense(), rtol=1e-4, atol=1e-5)
    values = floats.leaf.variables["values"]
    values[...] = -2.0 * values[...]
    opposite = weights.quantised_from(floats)
    np.testing.assert_allclose(opposite.dense() - A.dense(), -2.0 * (weights.dense() - A.dense()), rtol=1e-4, atol=1e-5)


def test_gradients_reach_signs_and_scales_and_leave_the_physics_alone() -> None:
    A = gaussian(6, 10)
    V, weights = correcting(A, scale="column", planes=2)
    direction = jnp.asarray(np.random.RandomState(7).standard_normal((2, 6, 10)), jnp.float32)
    graph, parameters, rest = nnx.split(weights, nnx.Param, ...)
    kinds = {type(v) for v in jax.tree.leaves(parameters, is_leaf=lambda v: isinstance(v, nnx.Variable))}
    assert kinds == {BinaryParam, ScaleParam}
    gradient = jax.grad(lambda p: jnp.sum(nnx.merge(graph, p, rest).dense() * direction))(parameters)
    own, own_parameters, own_rest = nnx.split(V, nnx.Param, ...)
    expected = jax.grad(lambda p: jnp.sum(nnx.merge(own, p, own_rest).dense() * direction))(own_parameters)
    found, wanted = jax.tree.leaves(gradient), jax.tree.leaves(expected)
    assert len(found) == len(wanted) == 2
    for left, right in zip(found, wanted, strict=True):
        assert float(jnp.abs(left).max()) > 0.1
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize(("physics", "frozen"), [("blocks", False), ("rademacher", True), ("hadamard", True)])
def test_normalised_around_anchored(physics: str, frozen: bool) -> None:
    A = PHYSICS[physics]()
    linear_map = AMP().maps(A)["W"]
    weights: Any = Normalised(Anchored(INNER["designed"])).build(Place(linear_map, A, 1))
    dense = np.asarray(weights.dense(), np.float64)
    if frozen:
        weights = Weights.unpack(through_a_file(weights.pack()), linear_map, A, frozen=True)
        assert weights.format == Normalised(Anchored(INNER["designed"]))
        np.testing.assert_allclose(weights.dense(), dense, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.einsum("kij,ij->kj", weights.dense(), A.dense()), 1.0, rtol=1e-4)
    inner = np.asarray(weights.inner.dense())
    np.testing.assert_allclose(dense, inner / np.einsum("kij,ij->kj", inner, A.dense())[:, None], rtol=1e-3, atol=1e-5)


def test_anchored_in_the_signal_domain_is_anchored_at_the_measurement() -> None:
    phi, psi = Rademacher(8, 16, seed=1), SubsampledDCT.random(16, 16, seed=1).T
    A = Composition.of(phi, psi)
    linear_map = AMP().maps(A)["W"]
    weights = SignalDomain(Anchored(OneBit())).build(Place(linear_map, A, 1))
    expected = 17 / 16 * np.asarray(phi.dense()) @ np.asarray(psi.dense())  # V starts at a little of phi
    np.testing.assert_allclose(weights.dense()[0], expected, atol=1e-5)
    for frozen in (False, True):
        back = Weights.unpack(through_a_file(weights.pack()), linear_map, A, frozen=frozen)
        np.testing.assert_allclose(back.dense()[0], expected, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 2.0**-60, 2.0**60])
def test_signs_start_at_a_little_of_the_physics_and_train(factor: float) -> None:
    A = factor * gaussian(16, 32)
    weights = Anchored(OneBit()).build(Place(LinearMap(A, A.mask(), transposed=True), A, 2))
    matrix = np.asarray(A.dense(), np.float64)
    wanted = matrix + np.abs(matrix).mean() / 16 * np.sign(matrix)
    np.testing.assert_allclose(weights.dense() / factor, np.stack([wanted] * 2) / factor, rtol=1e-5)
    # one step along the gradient of a loss moves the scale and the signs, whatever the unit
    target = jnp.asarray(np.random.RandomState(0).standard_normal((2, 16, 32)), jnp.float32)
    graph, parameters, rest = nnx.split(weights, nnx.Param, ...)
    loss = jax.grad(lambda p: jnp.mean((nnx.merge(graph, p, rest).dense() / factor - target) ** 2))
    for gradient in jax.tree.leaves(loss(parameters)):
        assert float(jnp.abs(gradient).max()) > 1e-6


@pytest.mark.parametrize("copies", [2, None])
def test_networks_with_corrections_of_zero_are_networks_of_the_physics(copies: int | None) -> None:
    A = gaussian(8, 16)
    y = A(jnp.asarray(np.random.RandomState(0).standard_normal((3, 16)) * (np.arange(16) < 2), jnp.float32))
    plain = Unrolled(ISTA(), A, 4, FullPrecision(), distinct=copies)
    around = Unrolled(ISTA(), A, 4, Anchored(FullPrecision()), distinct=copies)
    assert not np.asarray(around.maps["W"].leaf.dense()).any()
    np.testing.assert_allclose(around(y), plain(y), rtol=1e-5, atol=1e-6)


def test_maps_that_start_elsewhere_are_anchored_at_their_start(tmp_path) -> None:
    A = gaussian(8, 16)
    algorithm = ADMM(regularisation=0.05, rho=0.3)
    y = A(jnp.asarray(np.random.RandomState(0).standard_normal((3, 16)) * (np.arange(16) < 2), jnp.float32))
    floats = Unrolled(algorithm, A, 4, Anchored(FullPrecision()), distinct=1)
    np.testing.assert_allclose(floats(y), solve(algorithm, A, y, 4).x, rtol=1e-4, atol=1e-5)  # V starts at nothing
    net = Unrolled(algorithm, A, 4, Anchored(OneBit()), distinct=1)
    weights: Any = net.maps["W"]
    values = jnp.asarray(np.random.RandomState(1).standard_normal((1, 8, 16)), jnp.float32)
    net.maps["W"] = weights.rebuild(weights.dense() + 0.1 * values)
    path = pack(net).save(tmp_path / "n.safetensors")
    packed = load(path)
    frozen: Any = packed.network.maps["W"]
    np.testing.assert_allclose(packed(y), net(y), rtol=1e-4, atol=1e-5)
    start = np.asarray(algorithm.maps(A)["W"].initial.dense())
    expected = start + np.asarray(net.maps["W"].inner.dense())[0]  # pyright: ignore[reportAttributeAccessIssue]
    np.testing.assert_allclose(frozen.dense()[0], expected, rtol=1e-4, atol=1e-5)
    assert frozen.held_bits == 32 * 8 * 16
    # the start stores nothing; it is held beside A
    plain, around = count_bits(Unrolled(algorithm, A, 4, OneBit(), distinct=1)), count_bits(packed.network)
    assert around.weight_bits == plain.weight_bits == 8 * 16
    assert around.bits_per_link == plain.bits_per_link
    assert around.resident_bits == plain.resident_bits + 32 * 8 * 16
    assert count_bits(net).resident_bits == around.resident_bits


@pytest.mark.long
def test_anchored_maps_of_a_band_start_at_its_dense_inverse() -> None:
    A = Composition.of(Convolution.of([0.2, 0.6, 0.2], 12), SubsampledDCT.full(12).T)
    algorithm = ADMM(regularisation=0.01, rho=0.05)
    y = jnp.asarray(np.random.RandomState(0).standard_normal((2, 12)), jnp.float32)
    expected = solve(algorithm, A, y, 3).x
    for format in (FullPrecision(), Anchored(FullPrecision())):
        for wrap in (SignalDomain, lambda inner: inner):
            net = Unrolled(algorithm, A, 3, wrap(format), distinct=1)
            np.testing.assert_allclose(net(y), expected, rtol=1e-4, atol=1e-5)
    alone = Unrolled(algorithm, A.outer, 3, FullPrecision(), distinct=1)
    np.testing.assert_allclose(alone(y), solve(algorithm, A.outer, y, 3).x, rtol=1e-4, atol=1e-5)


def test_both_maps_of_lista_can_be_corrected() -> None:
    A = gaussian(6, 10)
    algorithm = ISTA(regularisation=0.05, parametrisation="classic")
    net = Unrolled(algorithm, A, 2, Anchored(FullPrecision()), distinct=1)
    y = jnp.ones((2, 6))
    np.testing.assert_allclose(net(y), solve(algorithm, A, y, 2).x, rtol=1e-4, atol=1e-5)


def test_signs_designed_around_the_physics_need_a_map_that_starts_there() -> None:
    with pytest.raises(ValueError, match="around the physics are for maps that start there"):
        Anchored(INNER["designed"]).build(Place(ADMM().maps(gaussian(6, 10))["W"], gaussian(6, 10), 1))
