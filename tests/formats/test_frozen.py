"""Frozen weights: products that run on packed bits."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from unrollbit import Unrolled
from unrollbit.algorithms import AMP, ISTA
from unrollbit.algorithms.base import LinearMap
from unrollbit.formats import (
    FullPrecision,
    Normalised,
    OneBit,
    Place,
    Ternary,
    Weights,
)
from unrollbit.operators import Hadamard, gaussian
from unrollbit.structures import Band, Blocks, Full, Indexed, Structure


@pytest.mark.long
def test_frozen_products(structure: Structure, map_of, weights_of) -> None:
    linear_map, A = map_of(structure)
    random = np.random.RandomState(2)
    x = jnp.asarray(random.standard_normal((2, 3, 21)), jnp.float32)
    r = jnp.asarray(random.standard_normal((2, 3, 9)), jnp.float32)
    for scale in ("row", "column"):
        weights = weights_of(structure, 2, 2, scale)
        frozen = Weights.unpack(weights.pack(), linear_map, A, frozen=True)
        dense = np.asarray(weights.dense()[1], np.float64)
        np.testing.assert_allclose(frozen.apply(x, 1), x @ dense.T, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(frozen.apply_transpose(r, 1), r @ dense, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(frozen.apply_transpose(r[0, 0], 1), r[0, 0] @ dense, rtol=1e-4, atol=1e-4)


def float_sizes(jaxpr) -> set[int]:
    """Sizes of all floating arrays in a program, those inside scan bodies and called functions included."""
    sizes = set()
    atoms = itertools.chain(jaxpr.constvars, jaxpr.invars, *(equation.outvars for equation in jaxpr.eqns))
    for atom in atoms:
        if jnp.issubdtype(atom.aval.dtype, jnp.floating):
            sizes.add(atom.aval.size)
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                sizes |= float_sizes(inner)
    return sizes


LARGE: dict[str, Structure] = {
    "full": Full(64, 128),
    "blocks": Blocks(8, 16, 32),
    "band": Band(64, 128, -60, 60),
    "indexed": Indexed.from_mask(np.random.RandomState(5).uniform(size=(64, 128)) < 0.7),
}


@pytest.mark.parametrize("name", LARGE)
def test_frozen_products_never_form_the_matrix(name: str, map_of, weights_of) -> None:
    structure = LARGE[name]
    linear_map, A = map_of(structure)
    weights = weights_of(structure, copies=1)
    frozen = Weights.unpack(weights.pack(), linear_map, A, frozen=True)
    matrix = int(np.prod(structure.core_shape))
    m, n = structure.shape
    v = jnp.ones(n)
    for product in (lambda w, v: w.apply(v), lambda w, v: w.apply_transpose(v[:m])):
        assert max(float_sizes(jax.make_jaxpr(product)(frozen, v).jaxpr)) <= matrix // 4
        assert max(float_sizes(jax.make_jaxpr(product)(weights, v).jaxpr)) >= matrix  # the check sees matrices


@pytest.mark.long
@pytest.mark.parametrize("distinct", [1, 2, None])
def test_frozen_networks_equal_trained_ones_and_run_on_bits(distinct: int | None, weights_of) -> None:
    A = Hadamard(64, 128, seed=1)
    y = A(jnp.zeros((1, 128)).at[0, 3].set(1.0).at[0, 60].set(-1.0))
    algorithm = AMP()
    linear_map = algorithm.maps(A)["W"]
    inner = weights_of(Full(64, 128), distinct or 4, 2, "row")
    weights = Normalised(inner.format).wrap(Place(linear_map, A, inner.copies), inner)
    net = Unrolled(algorithm, A, 4, {"W": weights}, distinct=distinct)
    raw = {name: variable[...] for name, variable in net.scalars.items()}
    frozen_weights = Weights.unpack(weights.pack(), linear_map, A, frozen=True)
    frozen = Unrolled(algorithm, A, 4, {"W": frozen_weights}, distinct=distinct, scalars=raw, packed=True)
    expected, out = net(y, iterates=True), frozen(y, iterates=True)
    assert float(jnp.max(jnp.abs(out - expected)) / jnp.max(jnp.abs(expected))) < 1e-5
    sizes = float_sizes(jax.make_jaxpr(lambda net, y: net(y))(frozen, y).jaxpr)
    assert max(sizes) <= 64 * 128 // 4
    assert max(float_sizes(jax.make_jaxpr(lambda net, y: net(y))(net, y).jaxpr)) >= 64 * 128


def test_frozen_classic_network() -> None:
    A = gaussian(9, 21)
    algorithm = ISTA(parametrisation="classic")
    net = Unrolled(algorithm, A, 3, OneBit(), distinct=1)
    maps = algorithm.maps(A)
    frozen = {name: Weights.unpack(w.pack(), maps[name], A, frozen=True) for name, w in net.maps.items()}
    y = jnp.ones((2, 9))
    raw = {name: variable[...] for name, variable in net.scalars.items()}
    out = Unrolled(algorithm, A, 3, frozen, distinct=1, scalars=raw, packed=True)(y)
    np.testing.assert_allclose(out, net(y), rtol=1e-4, atol=1e-6)


def test_frozen_weights_do_not_train(structures, map_of, weights_of) -> None:
    structure = structures["full"]
    linear_map, A = map_of(structure)
    frozen = Weights.unpack(weights_of(structure).pack(), linear_map, A, frozen=True)
    around = Normalised(frozen.format).wrap(Place(linear_map, A, 2), frozen)
    for weights in (frozen, around):
        for again in (
            lambda weights=weights: weights.rebuild(jnp.ones((2, 9, 21))),
            lambda weights=weights: weights.unquantised(FullPrecision()),
            lambda weights=weights: weights.quantised_from(weights_of(structure)),
        ):
            with pytest.raises(TypeError, match=r"do not train; take the network that trainable\(\) returns"):
                again()


@pytest.mark.parametrize("format", [Ternary(), Ternary(per_byte=4), OneBit()])
def test_frozen_weights_under_another_mask(format) -> None:
    """What the new mask forbids is zero, in products as in the dense matrix."""
    random, A = np.random.RandomState(0), gaussian(16, 24)
    mask = random.random_sample((16, 24)) < 0.6
    fewer = mask & (np.arange(16) != 3)[:, None]
    place, moved = (Place(LinearMap(A, Indexed.from_mask(m), transposed=True), A) for m in (mask, fewer))
    packed = format.from_matrix(random.standard_normal((16, 24)), mask).pack()
    found = format.moved(format.read(place, packed, frozen=True), moved)
    x = jnp.asarray(random.standard_normal(24), jnp.float32)
    np.testing.assert_allclose(found.apply(x), found.dense()[0] @ x, atol=1e-5)
    assert found.apply(x)[3] == 0
