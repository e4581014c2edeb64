"""Activations: values by hand, gradients, invariances and errors."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrollbit import AMP, FullyConnected, Unrolled
from unrollbit.networks import Activations
from unrollbit.networks.activations import normalise, quantise
from unrollbit.operators import gaussian

A = gaussian(8, 16, seed=1)
EIGHT = Activations(bits=8)


def measured(*batch: int, m: int = 8) -> jax.Array:
    return jnp.asarray(np.random.RandomState(0).standard_normal((*batch, m)), jnp.float32)


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
